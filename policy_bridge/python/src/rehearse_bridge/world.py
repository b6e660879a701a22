"""Serving a Gymnasium environment as a world."""

from __future__ import annotations

import inspect
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
import zenoh

from . import protocol
from .embodiment import Embodiment
from .errors import Fault, FaultKind, MalformedError
from .protocol import Observation, Side
from .server import Answer, Server, Trial
from .spaces import EnvironmentView, embodiment_of

logger = logging.getLogger("rehearse_bridge")


@dataclass(frozen=True)
class Start:
    """Where a trial starts. `seed` is that of the world's own noise."""

    task: str
    index: int
    instruction: str
    seed: int
    observation: Observation | None = None


EnvFactory = Callable[..., Any]
Reset = Callable[[Any, Start], tuple[Any, dict[str, Any]]]
Success = Callable[[dict[str, Any]], float | bool | None]


def reset_by_index(env: Any, start: Start) -> tuple[Any, dict[str, Any]]:
    """Resets to the start's index, exactly, and then seeds the noise with the start's seed.

    So every policy meets the same start, and repeats differ only by noise.
    """
    observation, info = env.reset(seed=start.index)
    env.unwrapped.np_random = np.random.default_rng(start.seed)
    return observation, info


def success_from_info(info: dict[str, Any]) -> float | None:
    """`info["success"]` or `info["is_success"]`; `None` where neither is there."""
    for key in ("success", "is_success"):
        if key in info:
            return float(info[key])
    return None


@dataclass
class _Open:
    env: Any
    task: str
    instruction: str
    steps: int = 0
    ended: bool = False


class WorldBackend:
    """Environments behind a `Server`: one per open trial, kept and reset for the next."""

    side: Side = "world"

    def __init__(
        self,
        env: Any,
        *,
        embodiment: Embodiment | None,
        rate: float | None,
        camera: str | None,
        images: Mapping[str, str] | None,
        state: Sequence[str] | None,
        reset: Reset,
        success: Success,
        max_trials: int,
    ) -> None:
        """See `serve_world`."""
        self._single = None if not hasattr(env, "step") or inspect.isclass(env) else env
        self._make: EnvFactory | None = None if self._single is not None else env
        if self._make is not None and not callable(env):
            raise TypeError(f"{type(env).__name__} is no environment and no factory of one")
        if max_trials < 1:
            raise ValueError(f"max_trials must be at least 1, got {max_trials}")
        self.max_batch = 1 if self._single is not None else max_trials
        self._takes_task = self._make is not None and _takes_argument(self._make)
        probe_task = ""
        probe = self._single if self._single is not None else self._new(probe_task)
        self._idle: dict[str, list[Any]] = {}
        if not self._takes_task:
            self._idle[probe_task] = [probe]
        self._rig = embodiment or embodiment_of(
            probe, rate=rate, camera=camera, images=images, state=state
        )
        self._view = EnvironmentView(probe, self._rig, images=images, state=state)
        if self._takes_task:
            probe.close()
        self._reset = reset
        self._success = success
        self._trials: dict[Trial, _Open] = {}

    def info(self) -> dict[str, Any]:
        """Embodiment and batch."""
        return {"embodiment": self._rig.to_wire(), "max_batch": self.max_batch}

    def open(self, trial: Trial, request: dict[str, Any]) -> dict[str, Any]:
        """Resets an environment to a start."""
        start = self._start(request)
        if len(self._trials) >= self.max_batch:
            raise Fault(
                "world_broke",
                f"{self.max_batch} environments are in use; "
                + ("serve a factory" if self._single is not None else "raise max_trials"),
            )
        env: Any = None
        try:
            env = self._take(start.task)
            observed, _info = self._reset(env, start)
            found = self._view.observe(env, observed, start.instruction, 0)
        except Exception as error:
            if env is not None:
                self._discard(env)
            raise _broke("reset", error) from error
        self._trials[trial] = _Open(env, self._pool(start.task), start.instruction)
        return {"observation": found.to_wire()}

    def _start(self, request: dict[str, Any]) -> Start:
        try:
            observation = request.get("observation")
            return Start(
                task=protocol.text(request, "task"),
                index=protocol.index(request),
                instruction=protocol.text(request, "instruction"),
                seed=protocol.seed_number(protocol.seed(request)),
                observation=None
                if observation is None
                else Observation.from_wire(observation, self._rig),
            )
        except MalformedError as error:
            raise Fault("world_broke", f"refused a start: {error.message}") from error

    def work(self, requests: Sequence[tuple[Trial, dict[str, Any]]]) -> list[Answer]:
        """Executes each trial's actions."""
        answers: list[Answer] = []
        for trial, request in requests:
            try:
                actions = protocol.read_actions(request.get("actions"), self._rig.actions)
                answers.append(self._advance(self._trials[trial], actions))
            except Fault as fault:
                answers.append(fault)
        return answers

    def _advance(self, trial: _Open, actions: protocol.Floats) -> dict[str, Any]:
        if trial.ended:
            raise Fault("world_broke", "the world has ended this trial already")
        steps: list[dict[str, Any]] = []
        try:
            for action in actions:
                observed, _reward, terminated, truncated, info = trial.env.step(
                    self._view.action(action)
                )
                trial.steps += 1
                time_ns = math.floor(trial.steps * 1e9 / self._rig.rate + 0.5)
                found = self._view.observe(trial.env, observed, trial.instruction, time_ns)
                step: dict[str, Any] = {"observation": found.to_wire()}
                if (success := self._success(info)) is not None:
                    step["success"] = min(1.0, max(0.0, float(success)))
                steps.append(step)
                trial.ended = bool(terminated or truncated)
                if trial.ended:
                    break
        except Exception as error:
            raise _broke("step", error) from error
        return {"steps": steps, "ended": True} if trial.ended else {"steps": steps}

    def end(self, trial: Trial) -> None:
        """Gives the trial's environment back."""
        if (done := self._trials.pop(trial, None)) is not None:
            self._idle.setdefault(done.task, []).append(done.env)

    def stop(self) -> None:
        """Closes every environment."""
        for trial in self._trials.values():
            trial.env.close()
        for envs in self._idle.values():
            for env in envs:
                env.close()
        self._trials.clear()
        self._idle.clear()

    def _pool(self, task: str) -> str:
        return task if self._takes_task else ""

    def _new(self, task: str) -> Any:
        assert self._make is not None
        return self._make(task) if self._takes_task else self._make()

    def _take(self, task: str) -> Any:
        idle = self._idle.get(self._pool(task))
        if idle:
            return idle.pop()
        if self._single is not None:
            return self._single
        # An environment that waits for another task makes room.
        open_now = len(self._trials) + sum(map(len, self._idle.values()))
        if open_now >= self.max_batch:
            for envs in self._idle.values():
                if envs:
                    envs.pop().close()
                    break
        return self._new(task)

    def _discard(self, env: Any) -> None:
        if self._single is not None:
            self._idle[""] = [env]
            return
        try:
            env.close()
        except Exception:
            logger.exception("closing an environment failed")


def _takes_argument(factory: EnvFactory) -> bool:
    parameters = inspect.signature(factory).parameters.values()
    return any(
        each.default is each.empty
        and each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)
        for each in parameters
    )


def _broke(where: str, error: Exception) -> Fault:
    logger.exception("%s failed", where, exc_info=error)
    kind: FaultKind = "world_broke"
    return Fault(kind, f"{where} raised {type(error).__name__}: {error}")


@overload
def serve_world(
    env: Any,
    *,
    name: str,
    embodiment: Embodiment | None = None,
    rate: float | None = None,
    camera: str | None = None,
    images: Mapping[str, str] | None = None,
    state: Sequence[str] | None = None,
    reset: Reset = reset_by_index,
    success: Success = success_from_info,
    max_trials: int = 16,
    session: zenoh.Session | None = None,
    connect: Sequence[str] | None = None,
    listen: Sequence[str] | None = None,
    config: str | Path | None = None,
    block: Literal[True] = True,
) -> None: ...


@overload
def serve_world(
    env: Any,
    *,
    name: str,
    embodiment: Embodiment | None = None,
    rate: float | None = None,
    camera: str | None = None,
    images: Mapping[str, str] | None = None,
    state: Sequence[str] | None = None,
    reset: Reset = reset_by_index,
    success: Success = success_from_info,
    max_trials: int = 16,
    session: zenoh.Session | None = None,
    connect: Sequence[str] | None = None,
    listen: Sequence[str] | None = None,
    config: str | Path | None = None,
    block: Literal[False],
) -> Server: ...


def serve_world(
    env: Any,
    *,
    name: str,
    embodiment: Embodiment | None = None,
    rate: float | None = None,
    camera: str | None = None,
    images: Mapping[str, str] | None = None,
    state: Sequence[str] | None = None,
    reset: Reset = reset_by_index,
    success: Success = success_from_info,
    max_trials: int = 16,
    session: zenoh.Session | None = None,
    connect: Sequence[str] | None = None,
    listen: Sequence[str] | None = None,
    config: str | Path | None = None,
    block: bool = True,
) -> Server | None:
    """Serves a Gymnasium environment under `name`, in this thread until interrupted.

    `env` is an environment (one trial at a time) or a factory of environments, without parameters
    or with the task, for up to `max_trials` trials at a time.

    `embodiment` states the rig. Without it, it is read off the spaces, with the control `rate` in
    hertz and either `camera`, the name for what `render()` shows, or `images`. `images` maps each
    camera to its source: `render`, or the key of a uint8 image in a dictionary observation
    (`/` goes down a level). `state` lists the keys that make up the proprioception.

    A trial starts at `reset(env, start)`, by default `reset_by_index`. `success(info)` is the
    world's belief that the task is done, by default `info["success"]` or `info["is_success"]`.
    With `block=False` it serves from a thread and returns the `Server`.
    """
    backend = WorldBackend(
        env,
        embodiment=embodiment,
        rate=rate,
        camera=camera,
        images=images,
        state=state,
        reset=reset,
        success=success,
        max_trials=max_trials,
    )
    server = Server(backend, name, session=session, connect=connect, listen=listen, config=config)
    if not block:
        return server.start()
    server.run()
    return None
