"""Reading a Gymnasium environment: its spaces as an embodiment, its values as observations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .embodiment import Camera, Channel, Embodiment
from .errors import EmbodimentError
from .protocol import Floats, Observation, Pixels

RENDER = "render"


def embodiment_of(
    env: Any,
    *,
    rate: float | None,
    camera: str | None = None,
    images: Mapping[str, str] | None = None,
    state: Sequence[str] | None = None,
) -> Embodiment:
    """The embodiment that an environment's spaces state; what they do not say stays unstated.

    Raises `EmbodimentError` if the rate or the cameras are not given: they are facts of the rig
    that the spaces do not hold.
    """
    if rate is None:
        raise EmbodimentError("rate, the control rate in hertz, must be given")
    if camera is None and images is None:
        raise EmbodimentError("camera or images must be given; images={} for none")
    sources = dict(images) if images is not None else {str(camera): RENDER}
    first, _info = env.reset(seed=0)
    cameras = []
    for name, source in sources.items():
        pixels = _image(env, first, source)
        cameras.append(Camera(name, pixels.shape[0], pixels.shape[1]))
    spec = getattr(env, "spec", None)
    return Embodiment(
        rate=float(rate),
        cameras=cameras,
        proprioception=_state_channels(env.observation_space, state),
        actions=_action_channels(env.action_space),
        robot=None if spec is None else str(spec.id),
    )


class EnvironmentView:
    """Turns an environment's values into observations of a rig, and actions into its own."""

    def __init__(
        self,
        env: Any,
        rig: Embodiment,
        *,
        images: Mapping[str, str] | None,
        state: Sequence[str] | None,
    ) -> None:
        """Checks that every camera of the rig has a source."""
        self._rig = rig
        self._state = None if state is None else list(state)
        self._images = dict(images) if images is not None else {c.name: RENDER for c in rig.cameras}
        missing = [camera.name for camera in rig.cameras if camera.name not in self._images]
        if missing:
            raise EmbodimentError(f"images names no source for the cameras {missing}")
        self._space = env.action_space
        kind = type(self._space).__name__
        if kind not in ("Box", "Discrete"):
            raise EmbodimentError(f"an action space {kind} is not supported; wrap it into a Box")
        self._discrete = kind == "Discrete"

    def observe(self, env: Any, observed: Any, prompt: str, time_ns: int) -> Observation:
        """What the environment shows now; raises `ValueError` if it does not fit the rig."""
        images: dict[str, Pixels] = {}
        for camera in self._rig.cameras:
            pixels = _image(env, observed, self._images[camera.name])
            if pixels.shape != (camera.height, camera.width, 3):
                raise ValueError(
                    f"camera {camera.name!r} showed {pixels.shape}, "
                    f"stated is {camera.height}x{camera.width}"
                )
            images[camera.name] = pixels
        state = _state(observed, self._state)
        if state.shape != (len(self._rig.proprioception),):
            raise ValueError(
                f"the state has shape {state.shape}, stated are {len(self._rig.proprioception)}"
            )
        if not np.isfinite(state).all():
            raise ValueError("the state has a value that is not finite")
        return Observation(images=images, state=state, prompt=prompt, time_ns=time_ns)

    def action(self, action: Floats) -> Any:
        """One action in the environment's own type; rounding beyond the bounds is clipped."""
        if self._discrete:
            last = int(self._space.n) - 1
            return int(self._space.start) + min(last, max(0, round(float(action[0]))))
        shaped = action.astype(self._space.dtype).reshape(self._space.shape)
        return np.clip(shaped, self._space.low, self._space.high)


def _at(observed: Any, key: str) -> Any:
    for part in key.split("/"):
        if not isinstance(observed, Mapping) or part not in observed:
            keys = sorted(observed) if isinstance(observed, Mapping) else type(observed).__name__
            raise ValueError(f"the observation has no {key!r}; it has {keys}")
        observed = observed[part]
    return observed


def _image(env: Any, observed: Any, source: str) -> Pixels:
    if source == RENDER:
        pixels = env.render()
        if pixels is None:
            raise ValueError('render() shows nothing; make the environment with "rgb_array"')
    else:
        pixels = _at(observed, source) if source else observed
    array = np.ascontiguousarray(pixels)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3:
        raise ValueError(f"image {source!r} is {array.dtype} {array.shape}, expected uint8 HxWx3")
    return array


def _state(observed: Any, keys: Sequence[str] | None) -> Floats:
    if keys is not None:
        parts = [np.asarray(_at(observed, key), dtype=np.float32).ravel() for key in keys]
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)
    if isinstance(observed, Mapping):
        raise ValueError("state must list the keys of a dictionary observation that make it up")
    array = np.asarray(observed)
    if array.dtype == np.uint8 and array.ndim == 3:
        return np.zeros(0, np.float32)
    return np.asarray(array, dtype=np.float32).ravel()


def _state_channels(space: Any, keys: Sequence[str] | None) -> list[Channel]:
    if keys is None:
        if type(space).__name__ != "Box":
            raise EmbodimentError("state must list the keys that make up the proprioception")
        if space.dtype == np.uint8 and len(space.shape) == 3:
            return []
        return _box_channels("state", space)
    channels: list[Channel] = []
    for key in keys:
        part = space
        for step in key.split("/"):
            if step not in getattr(part, "spaces", {}):
                raise EmbodimentError(f"the observation space has no {key!r}")
            part = part[step]
        channels.extend(_box_channels(key, part))
    return channels


def _action_channels(space: Any) -> list[Channel]:
    if type(space).__name__ == "Discrete":
        return [Channel("action", bounds=(0.0, float(space.n - 1)) if space.n > 1 else None)]
    return _box_channels("action", space)


def _box_channels(name: str, space: Any) -> list[Channel]:
    low, high = (np.broadcast_to(side, space.shape).ravel() for side in (space.low, space.high))
    if len(low) == 1:
        return [Channel(name, bounds=_bounds(low[0], high[0]))]
    return [
        Channel(f"{name}_{place}", bounds=_bounds(*sides))
        for place, sides in enumerate(zip(low, high, strict=True))
    ]


def _bounds(low: npt.ArrayLike, high: npt.ArrayLike) -> tuple[float, float] | None:
    sides = float(np.asarray(low)), float(np.asarray(high))
    # NumPy states "unbounded" as infinities or as the ends of float32.
    if not np.isfinite(sides).all() or max(map(abs, sides)) >= 3e38 or sides[0] >= sides[1]:
        return None
    return sides
