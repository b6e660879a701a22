from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest

from rehearse_bridge.codec import MAX_VALUES, pack, unpack
from rehearse_bridge.errors import BridgeError, MalformedError

FRAMES = json.loads((Path(__file__).parent / "fixtures/wire_frames.json").read_text())["frames"]


def frame(name: str) -> bytes:
    return bytes.fromhex(FRAMES[name]["hex"])


@pytest.mark.parametrize(
    "name",
    [
        "openpi_droid_observation",
        "openpi_action_reply",
        "openpi_metadata_empty",
        "openpi_noncontiguous",
        "gr00t_ping_request",
        "gr00t_ping_reply",
    ],
)
def test_frames_of_other_programs_are_read_and_written_byte_for_byte(name: str) -> None:
    assert pack(unpack(frame(name))) == frame(name)


def test_an_openpi_observation_holds_what_it_should() -> None:
    seen = unpack(frame("openpi_droid_observation"))
    assert seen["prompt"] == "pick up the cup"
    image = seen["observation/exterior_image_1_left"]
    assert image.dtype == np.uint8 and image.shape == (2, 2, 3) and image[1, 1, 2] == 11
    np.testing.assert_array_equal(seen["observation/joint_position"], np.arange(7) / 8)


def test_string_keys_of_arrays_are_read_too() -> None:
    state = unpack(frame("vla_eval_observation"))["payload"]["state"]
    np.testing.assert_array_equal(state, np.zeros(7, np.float32))


def test_arrays_that_are_not_contiguous_are_written_row_by_row() -> None:
    array = np.arange(6).reshape(2, 3).T
    np.testing.assert_array_equal(unpack(pack({"x": array}))["x"], array)


def array_map(**changes: Any) -> bytes:
    entries: dict[bytes, Any] = {
        b"__ndarray__": True,
        b"data": b"\0" * 8,
        b"dtype": "<f4",
        b"shape": [2],
    }
    entries.update({key.encode(): value for key, value in changes.items()})
    return msgpack.packb({"x": entries})


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\x81",
        b"\x80\x80",
        b"\xdd\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\x82\xa1a\x01\xa1a\x02",
        b"\x81\x01\x02",
        b"\xd4\x05\x00",
        msgpack.packb({"t": msgpack.Timestamp(1)}),
        b"\x91" * 33 + b"\x01",
        b"\x91" * 5000 + b"\x01",
        b"\xdd" + (MAX_VALUES + 1).to_bytes(4, "big") + b"\xc0" * (MAX_VALUES + 1),
        msgpack.packb([[None] * 1000] * 300),
        array_map(dtype="|O"),
        array_map(dtype=">f4"),
        array_map(dtype="<c8"),
        array_map(dtype=7),
        array_map(shape=[3]),
        array_map(shape=[-2]),
        array_map(shape=[2.0]),
        array_map(shape=[2**31, 2**31, 2**31]),
        array_map(shape=None),
        array_map(data="text"),
        array_map(extra=1),
        array_map(__ndarray__=False),
    ],
    ids=range(26),
)
def test_bytes_that_nobody_should_have_sent_are_refused(data: bytes) -> None:
    with pytest.raises(MalformedError):
        unpack(data)


def test_nesting_up_to_the_limit_is_read() -> None:
    assert unpack(b"\x91" * 31 + b"\x01")


def test_damaged_frames_are_refused_and_nothing_else_happens() -> None:
    rng = random.Random(0)
    for _ in range(20_000):
        data = bytearray(frame(rng.choice(sorted(FRAMES))))
        for _ in range(rng.randrange(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        try:
            unpack(bytes(data[: rng.randrange(len(data) + 1)]))
        except BridgeError as error:
            assert error.code == "malformed"


def test_object_arrays_are_not_sent() -> None:
    with pytest.raises(MalformedError, match="dtype"):
        pack(np.array([object()]))
