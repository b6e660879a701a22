"""Eight courses of action from one start, as policies: what would have happened otherwise.

Each is executed open loop: all of its actions are given at the first observation. Recorded from
the same starts, they show whether a world model obeys actions or plays back what usually happens.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import zenoh
from experts import Behaviour, Expert, room_of
from rehearse_bridge import Embodiment, serve_policy

if TYPE_CHECKING:
    from world import MetaWorld

STEPS = 64
WAIT = 8

Actions = npt.NDArray[np.float32]


def half(expert: Actions, _random: np.random.Generator) -> Actions:
    """The hand's motion halved."""
    return expert * np.float32([0.5, 0.5, 0.5, 1])


def still(expert: Actions, _random: np.random.Generator) -> Actions:
    """Nothing at all."""
    return np.zeros_like(expert)


def mirrored(expert: Actions, _random: np.random.Generator) -> Actions:
    """To the other side: dx negated."""
    return expert * np.float32([-1, 1, 1, 1])


def reversed_(expert: Actions, _random: np.random.Generator) -> Actions:
    """The last action first."""
    return expert[::-1]


def late(expert: Actions, _random: np.random.Generator) -> Actions:
    """Eight steps of waiting first."""
    return np.concatenate([np.zeros_like(expert[:WAIT]), expert[:-WAIT]])


def noisy(expert: Actions, random: np.random.Generator) -> Actions:
    """Normal noise on every channel."""
    return expert + random.normal(0, 0.6, expert.shape)


def drawn(expert: Actions, random: np.random.Generator) -> Actions:
    """Even noise alone."""
    return random.uniform(-1, 1, expert.shape)


COURSES: dict[str, Any] = {
    "course-expert": lambda expert, _random: expert,
    "course-half": half,
    "course-still": still,
    "course-mirrored": mirrored,
    "course-reversed": reversed_,
    "course-late": late,
    "course-noisy": noisy,
    "course-random": drawn,
}


class Course:
    """One course, from whatever start it is shown."""

    def __init__(self, rooms: Sequence[MetaWorld], name: str) -> None:
        """Acts in whichever of `rooms` it is shown."""
        self._rooms = rooms
        self._bend = COURSES[name]
        self._random = np.random.default_rng(0)

    def reset(self, *, seed: int) -> None:
        """Begins a trial; the same seed gives the same noise."""
        self._random = np.random.default_rng(seed)

    def infer(self, obs: dict[str, Any]) -> dict[str, Actions]:
        """All actions of the course, of shape (64, 4), within [-1, 1]."""
        expert = self._expert(room_of(self._rooms, obs))
        return {"actions": np.clip(self._bend(expert, self._random), -1, 1).astype(np.float32)}

    def _expert(self, room: MetaWorld) -> Actions:
        """What the expert does from the start of a room: tried out in another one."""
        twin = type(room)(room.task)
        twin.reset(options={"start": room.simulator._last_rand_vec})
        expert = Expert([twin], Behaviour())
        actions = []
        for _ in range(STEPS):
            actions.append(expert.act(twin))
            twin.step(actions[-1])
        twin.close()
        return np.stack(actions)


def serve_courses(rooms: Sequence[MetaWorld], rig: Embodiment, session: zenoh.Session) -> None:
    """Serves every course under its name, from threads of this process."""
    for name in COURSES:
        make = partial(Course, rooms, name)
        serve_policy(make, name=name, embodiment=rig, chunk=STEPS, session=session, block=False)
