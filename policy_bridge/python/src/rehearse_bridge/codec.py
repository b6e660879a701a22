"""MessagePack with NumPy arrays, as openpi writes it, read with limits.

Bytes come from other machines, so reading refuses whatever the protocol has no use for:
extension types, object dtypes, repeated keys, deep nesting, more values than a message can need.
Nothing is ever unpickled or evaluated.
"""

from __future__ import annotations

import math
import threading
from typing import Any

import msgpack
import numpy as np
import numpy.typing as npt

from .errors import MalformedError

MAX_DEPTH = 32
MAX_VALUES = 262_144

DTYPES = frozenset(
    ("|b1", "|i1", "|u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8", "<f2", "<f4", "<f8")
)
_ARRAY_KEYS = frozenset((b"__ndarray__", b"data", b"dtype", b"shape"))


def pack(value: Any) -> bytes:
    """Packs maps, lists, strings, bytes, numbers and NumPy arrays."""
    packed: bytes = _local.packer.pack(value)
    return packed


def _pack_numpy(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        if value.dtype.str not in DTYPES:
            raise MalformedError(f"arrays of dtype {value.dtype.str} cannot be sent")
        return {
            b"__ndarray__": True,
            b"data": value.data if value.flags.c_contiguous else value.tobytes(),
            b"dtype": value.dtype.str,
            b"shape": value.shape,
        }
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"cannot send a value of type {type(value).__name__}")


class _Local(threading.local):
    """A packer per thread, which spares every message the allocation of its buffer."""

    def __init__(self) -> None:
        self.packer = msgpack.Packer(default=_pack_numpy, use_bin_type=True)


_local = _Local()


def unpack(data: bytes, what: str = "message") -> Any:
    """Unpacks one message; arrays come back as read-only views of it.

    Raises `MalformedError` for whatever `pack` could not have written.
    """
    values = 0

    def count(more: int) -> None:
        nonlocal values
        values += more
        if values > MAX_VALUES:
            raise MalformedError(f"{what} holds more than {MAX_VALUES} values")

    def on_list(items: list[Any]) -> list[Any]:
        count(len(items))
        return items

    def on_map(pairs: list[tuple[Any, Any]]) -> Any:
        count(2 * len(pairs))
        entries = dict(pairs)
        if len(entries) != len(pairs):
            raise MalformedError(f"{what} has a map with the same key twice")
        if b"__ndarray__" in entries:
            return _array(entries, what)
        if "__ndarray__" in entries:
            return _array({_as_bytes(key): value for key, value in entries.items()}, what)
        for key in entries:
            if not isinstance(key, str):
                raise MalformedError(f"{what} has a map whose key {key!r} is not a string")
        return entries

    def on_extension(code: int, _data: bytes) -> Any:
        raise MalformedError(f"{what} holds extension type {code}")

    try:
        value = msgpack.unpackb(
            data,
            raw=False,
            strict_map_key=False,
            object_pairs_hook=on_map,
            list_hook=on_list,
            ext_hook=on_extension,
            max_array_len=MAX_VALUES,
            max_map_len=MAX_VALUES,
        )
    except MalformedError:
        raise
    except Exception as error:
        text = str(error) or type(error).__name__
        raise MalformedError(f"{what} is not readable MessagePack: {text}") from error
    _check_tree(value, what)
    return value


def _as_bytes(key: Any) -> Any:
    return key.encode() if isinstance(key, str) else key


def _array(entries: dict[Any, Any], what: str) -> npt.NDArray[Any]:
    if entries.keys() != _ARRAY_KEYS or entries[b"__ndarray__"] is not True:
        raise MalformedError(f"{what} has an array with keys {sorted(map(str, entries))}")
    data, dtype, shape = entries[b"data"], entries[b"dtype"], entries[b"shape"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise MalformedError(f"{what} has an array of dtype {dtype!r}, which is not accepted")
    if not isinstance(data, bytes) or not isinstance(shape, list) or len(shape) > MAX_DEPTH:
        raise MalformedError(f"{what} has an array without data or shape")
    if not all(type(side) is int and 0 <= side < 2**31 for side in shape):
        raise MalformedError(f"{what} has an array of shape {shape}")
    kind = np.dtype(dtype)
    expected = math.prod(shape) * kind.itemsize
    if len(data) != expected:
        raise MalformedError(
            f"{what} has an array {dtype} of shape {shape} with {len(data)} bytes, "
            f"expected {expected}"
        )
    array: npt.NDArray[Any] = np.frombuffer(data, dtype=kind).reshape(shape)
    return array


def _check_tree(root: Any, what: str) -> None:
    level = [root]
    for _depth in range(MAX_DEPTH + 1):
        below: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                below.extend(value.values())
            elif isinstance(value, list):
                below.extend(value)
            elif isinstance(value, msgpack.Timestamp):
                raise MalformedError(f"{what} holds extension type -1")
        if not below:
            return
        level = below
    raise MalformedError(f"{what} is nested deeper than {MAX_DEPTH}")
