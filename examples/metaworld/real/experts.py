"""Meta-World's scripted experts, whole and spoilt, as policies.

A script needs the positions of the objects, which no policy sees: observations hold an image and
the hand alone. So experts live in the world's process. An expert is given what any policy is given,
looks for the simulator that showed just that, and reads the positions there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import zenoh
from metaworld import policies
from rehearse_bridge import Embodiment, serve_policy

if TYPE_CHECKING:
    from world import MetaWorld

SCRIPTS: dict[str, Any] = {
    "drawer-open-v3": policies.SawyerDrawerOpenV3Policy,
    "button-press-v3": policies.SawyerButtonPressV3Policy,
    "door-open-v3": policies.SawyerDoorOpenV3Policy,
    "pick-place-v3": policies.SawyerPickPlaceV3Policy,
}
BEHAVIOURS = (
    "expert",
    *("gain0.5", "noise0.3", "noise0.6", "noise1.0", "eps0.3", "eps0.6"),
    *("objbias0.01", "objbias0.02", "objbias0.04", "objbias0.08"),
)
OBJECT = slice(4, 7)
"""Where the position of the object to be grasped or pushed lies in Meta-World's observation."""


@dataclass(frozen=True)
class Behaviour:
    """How an expert is spoilt."""

    gain: float = 1.0
    """Factor on the motion of the hand."""
    noise: float = 0.0
    """Standard deviation of normal noise on every channel."""
    eps: float = 0.0
    """Probability of an action drawn evenly from the bounds instead."""
    objbias: float = 0.0
    """Standard deviation in metres, along each axis, of how far beside the object it aims
    throughout a trial: near misses, and successes that only just were none."""

    @classmethod
    def named(cls, name: str) -> Behaviour:
        """Reads `expert`, `gain0.5`, `noise0.3`, `objbias0.02` and their like."""
        if name == "expert":
            return cls()
        found = re.fullmatch(r"(gain|noise|eps|objbias)(\d+(?:\.\d+)?)", name)
        if found is None:
            raise ValueError(f"no behaviour {name!r}; there are {BEHAVIOURS}")
        return cls(**{found[1]: float(found[2])})


class Expert:
    """The scripts in one trial, one action at a time."""

    def __init__(self, rooms: Sequence[MetaWorld], behaviour: Behaviour) -> None:
        """Acts in whichever of `rooms` it is shown."""
        self._rooms = rooms
        self._behaviour = behaviour
        self.reset(seed=0)
        self._scripts = {task: script() for task, script in SCRIPTS.items()}

    def reset(self, *, seed: int) -> None:
        """Begins a trial; the same seed gives the same noise."""
        self._random = np.random.default_rng(seed)
        # From a generator of its own: the noise is the same whatever it aims at.
        beside = np.random.default_rng((seed, 1)).standard_normal(3)
        self._beside = self._behaviour.objbias * beside

    def infer(self, obs: dict[str, Any]) -> dict[str, npt.NDArray[np.float32]]:
        """The next action; raises `LookupError` if no simulator showed this observation."""
        return {"actions": self.act(room_of(self._rooms, obs))[None]}

    def act(self, room: MetaWorld) -> npt.NDArray[np.float32]:
        """The next action in `room`, of shape (4,), within [-1, 1]."""
        how = self._behaviour
        seen = room.full.copy()
        seen[OBJECT] += self._beside
        action = np.clip(self._scripts[room.task].get_action(seen), -1.0, 1.0)
        action[:3] *= how.gain
        action += how.noise * self._random.standard_normal(4)
        if self._random.random() < how.eps:
            action = self._random.uniform(-1.0, 1.0, 4)
        return np.clip(action, -1.0, 1.0).astype(np.float32)


def room_of(rooms: Sequence[MetaWorld], obs: dict[str, Any]) -> MetaWorld:
    """The room that showed an observation; raises `LookupError` if none did."""
    for room in list(rooms):
        if (
            room.shown is not None
            and np.array_equal(room.full[:4].astype(np.float32), obs["state"])
            and np.array_equal(room.shown, obs["images"]["front"])
        ):
            return room
    raise LookupError("no simulator of this process showed this: experts need their own world")


def serve_experts(rooms: Sequence[MetaWorld], rig: Embodiment, session: zenoh.Session) -> None:
    """Serves every behaviour under its name, from threads of this process."""
    for name in BEHAVIOURS:
        make = partial(Expert, rooms, Behaviour.named(name))
        serve_policy(make, name=name, embodiment=rig, chunk=1, session=session, block=False)
