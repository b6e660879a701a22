"""The facts of a rig: cameras, proprioception, actions, control rate. Never defaulted.

What a side does not state stays `None`, and whoever compares two rigs says so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from .errors import EmbodimentError, MalformedError

Kind = Literal["position", "orientation", "joint", "gripper", "other"]
Unit = Literal["m", "m/s", "rad", "rad/s", "deg", "N", "N*m", "1"]
Reference = Literal["delta", "absolute", "velocity"]
Rotation = Literal["roll_pitch_yaw", "axis_angle", "quaternion_xyzw", "quaternion_wxyz", "six_d"]
Gripper = Literal["high_is_open", "high_is_closed"]

MAX_IMAGE_SIDE = 16_384


@dataclass(frozen=True)
class Camera:
    """One camera; its images are RGB, uint8, height x width x 3."""

    name: str
    height: int
    width: int


@dataclass(frozen=True)
class Channel:
    """One number of proprioception or of an action, and what it means."""

    name: str
    kind: Kind | None = None
    unit: Unit | None = None
    bounds: tuple[float, float] | None = None
    reference: Reference | None = None
    frame: str | None = None
    rotation: Rotation | None = None
    gripper: Gripper | None = None


_CHOICES: dict[str, tuple[str, ...]] = {
    "kind": get_args(Kind),
    "unit": get_args(Unit),
    "reference": get_args(Reference),
    "rotation": get_args(Rotation),
    "gripper": get_args(Gripper),
}


@dataclass(frozen=True)
class Embodiment:
    """The facts of a rig. `rate` is the control rate in hertz."""

    rate: float
    cameras: Sequence[Camera]
    proprioception: Sequence[Channel]
    actions: Sequence[Channel]
    robot: str | None = None

    def __post_init__(self) -> None:
        """Checks the facts on their own: names, sizes, bounds."""
        if not (math.isfinite(self.rate) and 0 < self.rate <= 1e6):
            raise EmbodimentError(f"rate must be in (0, 1e6] hertz, got {self.rate}")
        if not self.actions:
            raise EmbodimentError("actions is empty")
        for name, entries in (
            ("cameras", self.cameras),
            ("proprioception", self.proprioception),
            ("actions", self.actions),
        ):
            names = [entry.name for entry in entries]
            for entry in names:
                if names.count(entry) > 1:
                    raise EmbodimentError(f"{name} has two entries called {entry!r}")
        for camera in self.cameras:
            if not all(1 <= side <= MAX_IMAGE_SIDE for side in (camera.height, camera.width)):
                raise EmbodimentError(
                    f"camera {camera.name!r} is {camera.height}x{camera.width} pixels; "
                    f"both sides must be between 1 and {MAX_IMAGE_SIDE}"
                )
        for channel in (*self.proprioception, *self.actions):
            _check_channel(channel)

    def to_wire(self) -> dict[str, Any]:
        """The embodiment as a map of the protocol, keys in its order."""
        robot = {} if self.robot is None else {"robot": self.robot}
        return robot | {
            "rate": float(self.rate),
            "cameras": [
                {"name": camera.name, "height": int(camera.height), "width": int(camera.width)}
                for camera in self.cameras
            ],
            "proprioception": [_channel_to_wire(channel) for channel in self.proprioception],
            "actions": [_channel_to_wire(channel) for channel in self.actions],
        }

    @classmethod
    def from_wire(cls, value: Any) -> Embodiment:
        """Reads a map of the protocol; unknown keys are refused: a misspelt fact is no fact."""
        known = {"robot", "rate", "cameras", "proprioception", "actions"}
        facts = _known_map(value, known, "embodiment")
        try:
            cameras = [
                Camera(**_known_map(camera, {"name", "height", "width"}, "embodiment.cameras"))
                for camera in facts["cameras"]
            ]
            return cls(
                rate=float(facts["rate"]),
                cameras=cameras,
                proprioception=[_channel_from_wire(entry) for entry in facts["proprioception"]],
                actions=[_channel_from_wire(entry) for entry in facts["actions"]],
                robot=facts.get("robot"),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise MalformedError(f"embodiment: {type(error).__name__}: {error}") from error


def _check_channel(channel: Channel) -> None:
    for key, choices in _CHOICES.items():
        value = getattr(channel, key)
        if value is not None and value not in choices:
            raise EmbodimentError(
                f"channel {channel.name!r} has {key} {value!r}; it must be one of {choices}"
            )
    if channel.bounds is not None:
        low, high = channel.bounds
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise EmbodimentError(
                f"channel {channel.name!r} has bounds [{low}, {high}]; "
                "they must be finite and in order"
            )


def _channel_to_wire(channel: Channel) -> dict[str, Any]:
    wire: dict[str, Any] = {}
    for field in fields(Channel):
        value = getattr(channel, field.name)
        if value is None:
            continue
        wire[field.name] = [float(bound) for bound in value] if field.name == "bounds" else value
    return wire


def _channel_from_wire(value: Any) -> Channel:
    facts = _known_map(value, {field.name for field in fields(Channel)}, "embodiment channel")
    if facts.get("bounds") is not None:
        low, high = facts["bounds"]
        facts["bounds"] = (float(low), float(high))
    return Channel(**facts)


def _known_map(value: Any, known: set[str], what: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise MalformedError(f"{what} is not a map")
    unknown = sorted(set(value) - known)
    if unknown:
        raise MalformedError(f"{what} has unknown keys {unknown}; it takes {sorted(known)}")
    return dict(value)
