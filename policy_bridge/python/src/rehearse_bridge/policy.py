"""Serving a policy: anything with openpi's `infer(obs) -> {"actions": ...}`."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, overload, runtime_checkable

import numpy as np
import zenoh

from . import protocol
from .embodiment import Embodiment
from .errors import Fault, MalformedError
from .protocol import Observation, Side
from .server import Answer, Server, Trial

logger = logging.getLogger("rehearse_bridge")


@runtime_checkable
class SupportsInfer(Protocol):
    """openpi's policy interface. `infer_batch` and `reset` are used where they exist.

    `infer_batch(list of obs) -> list of {"actions": ...}` answers several trials at once.
    `reset()` is called when a trial begins, with those of the keywords `instruction` and `seed`
    that it takes.
    """

    def infer(self, obs: dict[str, Any], /) -> Mapping[str, Any]:
        """Returns `{"actions": array of (steps, dimensions)}` for one observation."""


PolicyFactory = Callable[[], SupportsInfer]


class PolicyBackend:
    """A policy behind a `Server`."""

    side: Side = "policy"

    def __init__(
        self,
        policy: SupportsInfer | PolicyFactory,
        *,
        embodiment: Embodiment,
        chunk: int,
        max_batch: int | None,
        keys: Mapping[str, str] | None,
        stateless: bool,
        digest: str | None,
    ) -> None:
        """See `serve_policy`."""
        self._shared = policy if isinstance(policy, SupportsInfer) else None
        self._make: PolicyFactory | None = None
        if self._shared is None or inspect.isclass(policy):
            if not callable(policy):
                raise TypeError(f"{type(policy).__name__} has no infer(obs)")
            self._shared, self._make = None, policy
        self._batches = self._shared is not None and hasattr(self._shared, "infer_batch")
        if (max_batch is not None and max_batch < 1) or chunk < 1:
            raise ValueError(f"max_batch and chunk must be at least 1, got {max_batch}, {chunk}")
        self.max_batch = max_batch or (64 if self._batches or self._make else 1)
        self._one_trial = self._shared is not None and hasattr(self._shared, "reset")
        self._one_trial &= not (stateless or self._batches)
        if self._one_trial:
            logger.warning(
                "%s has reset(), so it is taken to hold the state of one trial and serves one at "
                "a time; pass stateless=True if reset() does nothing that matters, or a factory",
                type(self._shared).__name__,
            )
        self._rig = embodiment
        self._chunk = chunk
        self._digest = digest
        self._pick = Picker(keys, embodiment) if keys is not None else _plain
        self._trials: dict[Trial, SupportsInfer] = {}

    def info(self) -> dict[str, Any]:
        """Embodiment, chunk, batch, digest."""
        info = {
            "embodiment": self._rig.to_wire(),
            "chunk": self._chunk,
            "max_batch": self.max_batch,
        }
        return info if self._digest is None else info | {"digest": self._digest}

    def open(self, trial: Trial, request: dict[str, Any]) -> dict[str, Any]:
        """Begins a trial."""
        instruction = protocol.text(request, "instruction")
        seed = protocol.seed_number(protocol.seed(request))
        if self._one_trial and self._trials:
            raise Fault(
                "policy_crashed",
                "this policy holds the state of one trial, and one is open: ask for one at a "
                "time, or serve a factory or stateless=True",
            )
        try:
            policy = self._make() if self._make is not None else self._shared
            assert policy is not None
            _reset(policy, instruction, seed)
        except Exception as error:
            raise _crash("reset", error) from error
        self._trials[trial] = policy
        return {}

    def work(self, requests: Sequence[tuple[Trial, dict[str, Any]]]) -> list[Answer]:
        """Infers actions for each observation."""
        answers: list[Answer] = []
        ready: list[tuple[int, Trial, dict[str, Any]]] = []
        for trial, request in requests:
            try:
                observation = Observation.from_wire(request.get("observation"), self._rig)
                ready.append((len(answers), trial, self._pick(observation)))
                answers.append({})
            except MalformedError as error:
                answers.append(Fault("policy_crashed", f"refused an observation: {error.message}"))
        for (place, _trial, _obs), result in zip(ready, self._infer(ready), strict=True):
            try:
                answers[place] = {"actions": self._actions(result)}
            except Fault as fault:
                answers[place] = fault
        return answers

    def _infer(self, ready: Sequence[tuple[int, Trial, dict[str, Any]]]) -> Sequence[Any]:
        if self._batches and ready:
            batch = [obs for _place, _trial, obs in ready]
            try:
                results = list(self._shared.infer_batch(batch))  # type: ignore[union-attr]
            except Exception as error:
                return [_crash("infer_batch", error)] * len(batch)
            if len(results) != len(batch):
                message = f"infer_batch answered {len(results)} of {len(batch)} observations"
                return [Fault("policy_crashed", message)] * len(batch)
            return results
        results = []
        for _place, trial, obs in ready:
            try:
                results.append(self._trials[trial].infer(obs))
            except Exception as error:
                results.append(_crash("infer", error))
        return results

    def _actions(self, result: Any) -> protocol.Floats:
        if isinstance(result, Fault):
            raise result
        if not isinstance(result, Mapping) or "actions" not in result:
            raise Fault("malformed_action", 'infer must return a mapping with the key "actions"')
        try:
            actions = np.asarray(result["actions"])
        except Exception as error:
            raise Fault("malformed_action", f"actions are no array: {error}") from error
        if actions.dtype.kind in "iu" or actions.dtype.str == "<f2":
            actions = actions.astype(np.float32)
        # A single action is a chunk of one.
        actions = actions[None] if actions.ndim == 1 else actions
        return protocol.read_actions(actions, self._rig.actions, most=self._chunk)

    def end(self, trial: Trial) -> None:
        """Forgets a trial."""
        self._trials.pop(trial, None)

    def stop(self) -> None:
        """Forgets every trial."""
        self._trials.clear()


def _plain(observation: Observation) -> dict[str, Any]:
    return {
        "images": dict(observation.images),
        "state": observation.state,
        "prompt": observation.prompt,
        "time_ns": observation.time_ns,
    }


class Picker:
    """Puts an observation into the keys that a policy was trained with.

    Values name the source: `images/<camera>`, `state`, `state[a:b]`, `prompt`, `time_ns`.
    """

    def __init__(self, keys: Mapping[str, str], rig: Embodiment) -> None:
        """Checks every source against the rig."""
        self._sources: dict[str, tuple[str, Any]] = {}
        cameras = {camera.name for camera in rig.cameras}
        for key, source in keys.items():
            if source in ("prompt", "time_ns", "state"):
                self._sources[key] = (source, slice(None))
            elif source.startswith("images/") and source.removeprefix("images/") in cameras:
                self._sources[key] = ("images", source.removeprefix("images/"))
            elif source.startswith("state[") and source.endswith("]"):
                self._sources[key] = ("state", _slice(source, len(rig.proprioception)))
            else:
                raise ValueError(
                    f"keys[{key!r}] is {source!r}; it must be prompt, time_ns, state, state[a:b] "
                    f"or images/ and one of {sorted(cameras)}"
                )

    def __call__(self, observation: Observation) -> dict[str, Any]:
        """The observation under the policy's keys."""
        picked: dict[str, Any] = {}
        for key, (source, part) in self._sources.items():
            value = getattr(observation, source)
            picked[key] = value[part] if source in ("images", "state") else value
        return picked


def _slice(source: str, channels: int) -> slice:
    low, _, high = source.removeprefix("state[").removesuffix("]").partition(":")
    if not (low.isdigit() and high.isdigit() and int(low) < int(high) <= channels):
        raise ValueError(f"{source!r} must be state[a:b] with a < b <= {channels}")
    return slice(int(low), int(high))


def _reset(policy: Any, instruction: str, seed: int) -> None:
    reset = getattr(policy, "reset", None)
    if reset is None:
        return
    takes = inspect.signature(reset).parameters
    extra = {"instruction": instruction, "seed": seed}
    reset(**{name: value for name, value in extra.items() if name in takes})


def _crash(where: str, error: Exception) -> Fault:
    logger.exception("%s failed", where, exc_info=error)
    return Fault("policy_crashed", f"{where} raised {type(error).__name__}: {error}")


@overload
def serve_policy(
    policy: SupportsInfer | PolicyFactory,
    *,
    name: str,
    embodiment: Embodiment,
    chunk: int,
    max_batch: int | None = None,
    keys: Mapping[str, str] | None = None,
    stateless: bool = False,
    digest: str | None = None,
    session: zenoh.Session | None = None,
    connect: Sequence[str] | None = None,
    listen: Sequence[str] | None = None,
    config: str | Path | None = None,
    block: Literal[True] = True,
) -> None: ...


@overload
def serve_policy(
    policy: SupportsInfer | PolicyFactory,
    *,
    name: str,
    embodiment: Embodiment,
    chunk: int,
    max_batch: int | None = None,
    keys: Mapping[str, str] | None = None,
    stateless: bool = False,
    digest: str | None = None,
    session: zenoh.Session | None = None,
    connect: Sequence[str] | None = None,
    listen: Sequence[str] | None = None,
    config: str | Path | None = None,
    block: Literal[False],
) -> Server: ...


def serve_policy(
    policy: SupportsInfer | PolicyFactory,
    *,
    name: str,
    embodiment: Embodiment,
    chunk: int,
    max_batch: int | None = None,
    keys: Mapping[str, str] | None = None,
    stateless: bool = False,
    digest: str | None = None,
    session: zenoh.Session | None = None,
    connect: Sequence[str] | None = None,
    listen: Sequence[str] | None = None,
    config: str | Path | None = None,
    block: bool = True,
) -> Server | None:
    """Serves a policy under `name`, in this thread until interrupted, or with `block=False` not.

    `policy` has `infer(obs) -> {"actions": ...}`, or is a factory of such (a class, a function
    without parameters), of which each trial gets its own. `embodiment` states the cameras and
    channels that it uses, `chunk` the actions in each chunk that it returns.

    It sees `{"images": {camera: uint8 HWC}, "state": float32, "prompt": str, "time_ns": int}`, or
    what `keys` makes of it: `{"observation/image": "images/front", "observation/state": "state",
    "prompt": "prompt"}`. Arrays are read-only.

    A shared policy that has `reset` and no `infer_batch` serves one trial at a time, unless it is
    `stateless`. `connect`, `listen` and `config` are those of `open_session`.
    """
    backend = PolicyBackend(
        policy,
        embodiment=embodiment,
        chunk=chunk,
        max_batch=max_batch,
        keys=keys,
        stateless=stateless,
        digest=digest,
    )
    server = Server(backend, name, session=session, connect=connect, listen=listen, config=config)
    if not block:
        return server.start()
    server.run()
    return None
