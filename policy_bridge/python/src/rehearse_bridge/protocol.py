"""The messages of protocol version 1: keys, attachments, observations, actions, errors."""

from __future__ import annotations

import importlib.util
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from .codec import pack, unpack
from .embodiment import Camera, Channel, Embodiment
from .errors import BridgeError, Fault, MalformedError

VERSION = 1
SOFTWARE = "rehearse-bridge 0.1.0"
MAX_MESSAGE = 64 << 20
MAX_TEXT = 16 << 10
MAX_ATTACHMENT = 4 << 20
ALIVE_CLIENTS = "rehearse/v1/alive/client/*"

Side = Literal["policy", "world", "judge"]


class Verb(IntEnum):
    """What is asked for, the same three for all sides."""

    OPEN = 0
    WORK = 1
    END = 2


VERBS: dict[Side, tuple[str, str, str]] = {
    "policy": ("begin", "act", "end"),
    "world": ("reset", "step", "close"),
    "judge": ("begin", "judge", "end"),
}

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def check_name(name: str) -> str:
    """Returns `name` if it may stand in a key."""
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"the name {name!r} must have 1 to 64 characters out of A-Z a-z 0-9 . _ - "
            "and begin with a letter or a digit"
        )
    return name


def key(side: Side, name: str, verb: str) -> str:
    """The key that `verb` of a server is asked at."""
    return f"rehearse/v1/{side}/{name}/{verb}"


def alive_key(side: Side, name: str) -> str:
    """The key of the liveliness token of a server."""
    return f"rehearse/v1/alive/{side}/{name}"


@dataclass(frozen=True)
class RequestHead:
    """The attachment of a request."""

    client: bytes
    request: int
    trials: tuple[int, ...]
    deadline_ms: int

    def to_bytes(self) -> bytes:
        """The attachment, keys in the protocol's order."""
        return pack(
            {
                "version": VERSION,
                "client": self.client,
                "request": self.request,
                "trials": list(self.trials),
                "deadline_ms": self.deadline_ms,
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> RequestHead:
        """Reads the attachment of a request."""
        head = _versioned(data)
        client = head.get("client")
        if not isinstance(client, bytes) or len(client) != 16:
            raise MalformedError("attachment: client must be 16 bytes")
        trials = tuple(_uint(trial, "attachment: trials") for trial in _list(head, "trials"))
        if len(set(trials)) != len(trials):
            raise MalformedError("attachment: a trial is named twice")
        return cls(
            client=client,
            request=_uint(head.get("request"), "attachment: request"),
            trials=trials,
            deadline_ms=_uint(head.get("deadline_ms"), "attachment: deadline_ms", 2**32),
        )


@dataclass(frozen=True)
class ReplyHead:
    """The attachment of a reply."""

    server: bytes
    request: int
    trials: tuple[int, ...]

    def to_bytes(self) -> bytes:
        """The attachment, keys in the protocol's order."""
        return pack(
            {
                "version": VERSION,
                "server": self.server,
                "request": self.request,
                "trials": list(self.trials),
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> ReplyHead:
        """Reads the attachment of a reply."""
        head = _versioned(data)
        server = head.get("server")
        if not isinstance(server, bytes) or len(server) != 16:
            raise MalformedError("attachment: server must be 16 bytes")
        return cls(
            server=server,
            request=_uint(head.get("request"), "attachment: request"),
            trials=tuple(_uint(trial, "attachment: trials") for trial in _list(head, "trials")),
        )


def _versioned(data: bytes) -> dict[str, Any]:
    if len(data) > MAX_ATTACHMENT:
        raise BridgeError("too_large", f"an attachment of {len(data)} bytes is not read")
    head = as_map(unpack(data, "attachment"), "attachment")
    if head.get("version") != VERSION:
        raise BridgeError(
            "unsupported_version",
            f"version {head.get('version')!r} was asked for; this server speaks {VERSION}",
        )
    return head


def pack_error(error: BridgeError) -> bytes:
    """The payload of an `err` reply."""
    return pack({"code": error.code, "message": error.message[:MAX_TEXT]})


def unpack_error(data: bytes) -> BridgeError:
    """Reads the payload of an `err` reply; anything unreadable is a `failed`."""
    try:
        error = as_map(unpack(data, "error"), "error")
        return BridgeError(text(error, "code"), text(error, "message"))
    except BridgeError:
        return BridgeError("failed", repr(data[:200]))


def as_map(value: Any, what: str) -> dict[str, Any]:
    """`value` as a map, or `MalformedError`."""
    if not isinstance(value, dict):
        raise MalformedError(f"{what} must be a map, got {type(value).__name__}")
    return value


def text(entries: Mapping[str, Any], name: str) -> str:
    """The string `entries[name]`, or `MalformedError`."""
    value = entries.get(name)
    if not isinstance(value, str) or len(value.encode()) > MAX_TEXT:
        raise MalformedError(f"{name} must be a string of at most {MAX_TEXT} bytes")
    return value


def seed(entries: Mapping[str, Any]) -> bytes:
    """The 32 bytes `entries["seed"]`, or `MalformedError`."""
    value = entries.get("seed")
    if not isinstance(value, bytes) or len(value) != 32:
        raise MalformedError("seed must be 32 bytes")
    return value


def seed_number(value: bytes) -> int:
    """What takes a number as its seed takes the first 8 bytes, little-endian."""
    return int.from_bytes(value[:8], "little")


def index(entries: Mapping[str, Any]) -> int:
    """The number of a start, or `MalformedError`."""
    return _uint(entries.get("index"), "index")


def trial_maps(payload: Any, expected: Sequence[int]) -> list[dict[str, Any]]:
    """The maps under `trials`, which must name the trials of the attachment in their order."""
    trials = [as_map(entry, "trials[]") for entry in _list(as_map(payload, "payload"), "trials")]
    named = [_uint(entry.get("trial"), "trials[].trial") for entry in trials]
    if named != list(expected):
        raise MalformedError(f"payload names trials {named}, its attachment {list(expected)}")
    return trials


def trial_numbers(payload: Any) -> list[int]:
    """The handles of an `end` or `close`."""
    return [_uint(entry, "trials") for entry in _list(as_map(payload, "payload"), "trials")]


def _list(entries: Mapping[str, Any], name: str) -> list[Any]:
    value = entries.get(name)
    if not isinstance(value, list):
        raise MalformedError(f"{name} must be an array")
    return value


def _uint(value: Any, what: str, limit: int = 2**64) -> int:
    if type(value) is not int or not 0 <= value < limit:
        raise MalformedError(f"{what} must be an unsigned integer below {limit}, got {value!r}")
    return value


@dataclass(frozen=True)
class Observation:
    """What the robot, or a world in its place, shows at one control step.

    `images` are uint8, height x width x 3, by camera name; `state` is float32, one value per
    channel of proprioception; `time_ns` counts from the start of the trial.
    """

    images: Mapping[str, Pixels]
    state: Floats
    prompt: str
    time_ns: int = 0

    def to_wire(self) -> dict[str, Any]:
        """The observation as a map of the protocol."""
        return {
            "images": {name: self.images[name] for name in sorted(self.images)},
            "state": self.state,
            "prompt": self.prompt,
            "time_ns": self.time_ns,
        }

    @classmethod
    def from_wire(cls, value: Any, rig: Embodiment) -> Observation:
        """Reads and checks an observation against the cameras and channels of `rig`."""
        entries = as_map(value, "observation")
        wire = as_map(entries.get("images"), "observation.images")
        images = {}
        for camera in rig.cameras:
            if camera.name not in wire:
                raise MalformedError(
                    f"observation.images lacks camera {camera.name!r}; it has {sorted(wire)}"
                )
            images[camera.name] = read_image(wire[camera.name], camera)
        time_ns = entries.get("time_ns")
        if type(time_ns) is not int or not -(2**63) <= time_ns < 2**63:
            raise MalformedError(f"observation.time_ns must be an integer, got {time_ns!r}")
        return cls(
            images=images,
            state=read_state(entries.get("state"), len(rig.proprioception)),
            prompt=text(entries, "prompt"),
            time_ns=time_ns,
        )


def image_forms() -> list[str]:
    """The image forms that can be read here: `raw` always, `jpeg` and `png` with Pillow."""
    return ["raw", "jpeg", "png"] if importlib.util.find_spec("PIL") else ["raw"]


def read_image(value: Any, camera: Camera) -> Pixels:
    """Reads an image of the size that `camera` states."""
    what = f"observation.images[{camera.name!r}]"
    expected = (camera.height, camera.width, 3)
    pixels = _read_file(value, expected, what) if isinstance(value, dict) else value
    if not isinstance(pixels, np.ndarray):
        raise MalformedError(f"{what} must be an array, got {type(value).__name__}")
    if pixels.dtype != np.uint8 or pixels.shape != expected:
        raise MalformedError(
            f"{what} is {pixels.dtype.str} {pixels.shape}, expected |u1 {expected}"
        )
    return pixels


def _read_file(value: dict[str, Any], expected: tuple[int, int, int], what: str) -> Pixels:
    form, data = value.get("__image__"), value.get("data")
    if form not in ("jpeg", "png") or not isinstance(data, bytes):
        raise MalformedError(f"{what} must be an array or a jpeg or png file")
    if form not in image_forms():
        raise MalformedError(f"{what} is {form}; install rehearse-bridge[images] to read it")
    if value.get("shape") != list(expected):
        raise MalformedError(f"{what} has shape {value.get('shape')}, expected {list(expected)}")
    from PIL import Image  # noqa: PLC0415 - only where compressed images are used

    try:
        with Image.open(io.BytesIO(data), formats=[form.upper()]) as file:
            if (file.height, file.width) != expected[:2]:
                raise MalformedError(
                    f"{what} is a file of {file.height}x{file.width}, expected {expected[:2]}"
                )
            return np.asarray(file.convert("RGB"))
    except MalformedError:
        raise
    except Exception as error:
        raise MalformedError(f"{what} is no readable {form}: {error}") from error


def read_state(value: Any, channels: int) -> Floats:
    """Reads proprioception of `channels` values."""
    if not isinstance(value, np.ndarray) or value.dtype.str not in ("<f4", "<f8"):
        raise MalformedError("observation.state must be an array <f4")
    if value.shape != (channels,):
        raise MalformedError(f"observation.state has shape {value.shape}, expected ({channels},)")
    state = _to_f4(value)
    if not np.isfinite(state).all():
        raise MalformedError("observation.state has a value that is not finite")
    return state


def read_actions(value: Any, channels: Sequence[Channel], most: int | None = None) -> Floats:
    """Checks actions of shape (steps, dimensions): size, finite, within bounds.

    Raises a `Fault` of kind `malformed_action`: it is one trial's own.
    """
    if not isinstance(value, np.ndarray) or value.dtype.str not in ("<f4", "<f8"):
        found = value.dtype.str if isinstance(value, np.ndarray) else type(value).__name__
        raise Fault("malformed_action", f"actions must be an array <f4, got {found}")
    if value.ndim != 2 or value.shape[0] < 1 or value.shape[1] != len(channels):
        raise Fault(
            "malformed_action",
            f"actions have shape {value.shape}, expected (steps, {len(channels)})",
        )
    if most is not None and value.shape[0] > most:
        raise Fault(
            "malformed_action", f"a chunk of {value.shape[0]} actions, at most {most} are stated"
        )
    actions = _to_f4(value)
    if not np.isfinite(actions).all():
        step, dimension = np.argwhere(~np.isfinite(actions))[0]
        raise Fault(
            "malformed_action",
            f"action value {actions[step, dimension]} at step {step}, dimension {dimension} "
            "is not finite",
        )
    for dimension, channel in enumerate(channels):
        if channel.bounds is None:
            continue
        low, high = channel.bounds
        slack = 1e-4 * (high - low)
        column = actions[:, dimension].astype(np.float64)
        outside = (column < low - slack) | (column > high + slack)
        if outside.any():
            step = int(np.argmax(outside))
            raise Fault(
                "malformed_action",
                f"action value {column[step]} at step {step} is outside [{low}, {high}] "
                f"of channel {channel.name!r}",
            )
    return actions


def _to_f4(value: npt.NDArray[Any]) -> Floats:
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(value, dtype=np.float32)


def fault_to_wire(trial: int, fault: Fault) -> dict[str, Any]:
    """One trial's answer, where it is a fault."""
    return {"trial": trial, "fault": {"kind": fault.kind, "message": fault.message[:MAX_TEXT]}}


def fault_from_wire(value: Any) -> Fault:
    """Reads one trial's fault."""
    entries = as_map(value, "fault")
    kind: Any = text(entries, "kind")
    return Fault(kind, text(entries, "message"))
