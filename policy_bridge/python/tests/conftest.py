from __future__ import annotations

import socket
from collections.abc import Iterator

import numpy as np
import pytest
import zenoh

from rehearse_bridge import Camera, Channel, Embodiment, Observation, open_session


def free_endpoint() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"tcp/127.0.0.1:{probe.getsockname()[1]}"


@pytest.fixture
def session() -> Iterator[zenoh.Session]:
    opened = open_session(listen=[free_endpoint()])
    yield opened
    opened.close()


@pytest.fixture
def rig() -> Embodiment:
    return Embodiment(
        rate=10.0,
        cameras=[Camera("front", 4, 6)],
        proprioception=[Channel("x"), Channel("gripper", kind="gripper")],
        actions=[Channel("dx", bounds=(-1.0, 1.0)), Channel("dy"), Channel("gripper")],
    )


@pytest.fixture
def seen() -> Observation:
    pixels = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    return Observation({"front": pixels}, np.array([0.25, 1.0], np.float32), "pick", 100_000_000)
