"""Reaching a policy or a world that somebody serves: for tests, notebooks and scripts.

`rehearse` itself runs trials in large numbers; this client is for one trial, or a few, by hand.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import numpy as np
import zenoh

from . import protocol
from .codec import pack, unpack
from .embodiment import Embodiment
from .errors import BridgeError, Fault, MalformedError
from .protocol import Floats, Observation, ReplyHead, RequestHead, Side, Verb
from .session import open_session

DEFAULT_TIMEOUT = 30.0
_BUSY_PAUSE = 0.005

T = TypeVar("T")
C = TypeVar("C", bound="_Client")


@dataclass(frozen=True)
class ServerInfo:
    """What a server states about itself. `chunk` is 0 for a world."""

    name: str
    software: str
    embodiment: Embodiment
    chunk: int
    max_batch: int
    images: Sequence[str]
    max_message: int
    digest: str | None = None


@dataclass(frozen=True)
class Step:
    """One executed action and what followed; `success` is the world's belief, if it has one."""

    observation: Observation
    success: float | None


@dataclass(frozen=True)
class Advance:
    """What a world made of a chunk of actions."""

    steps: Sequence[Step]
    ended: bool


class _Client:
    """A connection to one server, from construction until `close`."""

    side: Side

    def __init__(
        self,
        name: str,
        *,
        timeout: float = DEFAULT_TIMEOUT,
        session: zenoh.Session | None = None,
        connect: Sequence[str] | None = None,
        listen: Sequence[str] | None = None,
        config: str | Path | None = None,
    ) -> None:
        """Waits up to `timeout` seconds for the server and reads its info."""
        self.name = protocol.check_name(name)
        self.timeout = timeout
        self.id = os.urandom(16)
        self._own_session = session is None
        self._session = session or open_session(connect=connect, listen=listen, config=config)
        self._request = 0
        try:
            self._alive = self._session.liveliness().declare_token(
                f"rehearse/v1/alive/client/{self.id.hex()}"
            )
            self._server: bytes
            self.info = self._find(time.monotonic() + timeout)
            # A querier knows its server beforehand, which spares every request the look-up.
            self._queriers = [
                self._session.declare_querier(
                    protocol.key(self.side, name, verb),
                    target=zenoh.QueryTarget.BEST_MATCHING,
                    consolidation=zenoh.ConsolidationMode.NONE,
                    timeout=timeout,
                )
                for verb in protocol.VERBS[self.side]
            ]
        except BaseException:
            if self._own_session:
                self._session.close()
            raise

    def close(self) -> None:
        """Leaves; the server ends the trials that are still open."""
        if self._own_session:
            self._session.close()
            return
        for querier in self._queriers:
            querier.undeclare()
        self._alive.undeclare()

    def __enter__(self: C) -> C:
        """The client itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leaves."""
        self.close()

    def _find(self, deadline: float) -> ServerInfo:
        key = protocol.key(self.side, self.name, "info")
        while True:
            for reply in self._session.get(key, timeout=max(0.05, deadline - time.monotonic())):
                if reply.ok is not None:
                    return self._read_info(reply.ok.payload.to_bytes())
            if time.monotonic() > deadline:
                raise BridgeError("failed", f"nobody serves a {self.side} called {self.name!r}")
            time.sleep(0.02)

    def _read_info(self, data: bytes) -> ServerInfo:
        info = protocol.as_map(unpack(data, "info"), "info")
        if info.get("protocol") != protocol.VERSION or not isinstance(info.get("server"), bytes):
            raise BridgeError(
                "unsupported_version",
                f"{self.side} {self.name!r} speaks version {info.get('protocol')!r}, "
                f"this client {protocol.VERSION}",
            )
        self._server = info["server"]
        try:
            return ServerInfo(
                name=info["name"],
                software=info["software"],
                embodiment=Embodiment.from_wire(info["embodiment"]),
                chunk=int(info.get("chunk", 0)),
                max_batch=int(info["max_batch"]),
                images=list(info["images"]),
                max_message=int(info["max_message"]),
                digest=info.get("digest"),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise MalformedError(f"info: {type(error).__name__}: {error}") from error

    def _ask(self, verb: Verb, payload: Mapping[str, Any], trials: Sequence[int]) -> Any:
        """Sends one request and returns the payload of its answer."""
        self._request += 1
        deadline = time.monotonic() + self.timeout
        packed = pack(payload)
        if len(packed) > self.info.max_message:
            raise BridgeError(
                "too_large",
                f"a payload of {len(packed)} bytes; {self.name!r} takes {self.info.max_message}",
            )
        while True:
            left = deadline - time.monotonic()
            head = RequestHead(
                self.id, self._request, tuple(trials), max(0, min(2**32 - 1, int(left * 1000)))
            )
            try:
                return self._ask_once(verb, packed, head)
            except BridgeError as error:
                if error.code != "busy" or time.monotonic() + _BUSY_PAUSE > deadline:
                    raise
                time.sleep(_BUSY_PAUSE)

    def _ask_once(self, verb: Verb, packed: bytes, head: RequestHead) -> Any:
        replies = self._queriers[verb].get(payload=packed, attachment=head.to_bytes())
        # Ends without a reply when the deadline passes, or at once when the server goes.
        reply = next(replies, None)
        if reply is None:
            raise BridgeError("deadline", f"{self.side} {self.name!r} gave no answer, or went away")
        if reply.ok is None:
            assert reply.err is not None
            raise protocol.unpack_error(reply.err.payload.to_bytes())
        attachment = b"" if reply.ok.attachment is None else reply.ok.attachment.to_bytes()
        answered = ReplyHead.from_bytes(attachment)
        if answered.request != head.request:
            raise MalformedError(f"request {head.request} was answered as {answered.request}")
        return unpack(reply.ok.payload.to_bytes(), "answer")

    def _ask_trials(
        self, verb: Verb, entries: Sequence[dict[str, Any]]
    ) -> list[dict[str, Any] | Fault]:
        numbers = [entry["trial"] for entry in entries]
        answer = protocol.as_map(self._ask(verb, {"trials": list(entries)}, numbers), "answer")
        found: dict[int, dict[str, Any] | Fault] = {}
        for entry in answer.get("trials", []):
            each = protocol.as_map(entry, "answer.trials[]")
            fault = each.get("fault")
            found[each["trial"]] = each if fault is None else protocol.fault_from_wire(fault)
        missing = Fault("policy_crashed" if self.side == "policy" else "world_broke", "no answer")
        return [found.get(number, missing) for number in numbers]


def _one(answers: Sequence[T | Fault]) -> T:
    (answer,) = answers
    if isinstance(answer, Fault):
        raise answer
    return answer


def _seed_bytes(seed: int | bytes) -> bytes:
    return seed if isinstance(seed, bytes) else seed.to_bytes(32, "little")


class PolicyClient(_Client):
    """A policy that somebody serves. `reset` and `infer` run one trial, as openpi's clients do."""

    side = "policy"

    def reset(self, instruction: str = "", seed: int | bytes = 0) -> None:
        """Ends the trial of this client, if there is one, and begins the next."""
        self.end([0])
        _one(self.begin([0], [instruction], [seed]))

    def infer(self, observation: Observation | Mapping[str, Any]) -> dict[str, Floats]:
        """Asks for `{"actions": (steps, dimensions)}`; `reset` comes first."""
        return {"actions": _one(self.act({0: observation}))}

    def begin(
        self, trials: Sequence[int], instructions: Sequence[str], seeds: Sequence[int | bytes]
    ) -> list[Fault | None]:
        """Begins several trials; a fault in the answer is its trial's own."""
        entries = [
            {"trial": trial, "instruction": instruction, "seed": _seed_bytes(seed)}
            for trial, instruction, seed in zip(trials, instructions, seeds, strict=True)
        ]
        answers = self._ask_trials(Verb.OPEN, entries)
        return [answer if isinstance(answer, Fault) else None for answer in answers]

    def act(
        self, observations: Mapping[int, Observation | Mapping[str, Any]]
    ) -> list[Floats | Fault]:
        """Asks for the actions of several trials, in the order of `observations`."""
        entries = [
            {"trial": trial, "observation": _observation_to_wire(observation)}
            for trial, observation in observations.items()
        ]
        return [
            answer if isinstance(answer, Fault) else self._read(answer)
            for answer in self._ask_trials(Verb.WORK, entries)
        ]

    def _read(self, answer: Mapping[str, Any]) -> Floats | Fault:
        try:
            return protocol.read_actions(answer.get("actions"), self.info.embodiment.actions)
        except Fault as fault:
            return fault

    def end(self, trials: Sequence[int]) -> None:
        """Ends trials; those that are not open are passed over."""
        self._ask(Verb.END, {"trials": list(trials)}, trials)


def _observation_to_wire(observation: Observation | Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(observation, Observation):
        return observation.to_wire()
    return Observation(
        images=observation["images"],
        state=np.asarray(observation["state"], dtype=np.float32),
        prompt=observation["prompt"],
        time_ns=observation.get("time_ns", 0),
    ).to_wire()


class WorldClient(_Client):
    """A world that somebody serves. `reset` and `step` run one trial."""

    side = "world"

    def reset(
        self, *, task: str = "", index: int = 0, instruction: str = "", seed: int | bytes = 0
    ) -> Observation:
        """Closes the trial of this client, if there is one, and starts the next."""
        self.close_trials([0])
        return _one(self.reset_trials([0], task, [index], instruction, seed))

    def step(self, actions: Floats | Sequence[float]) -> Advance:
        """Executes one action, or a chunk of (steps, dimensions)."""
        return _one(self.step_trials({0: actions}))

    def reset_trials(
        self,
        trials: Sequence[int],
        task: str,
        indices: Sequence[int],
        instruction: str,
        seed: int | bytes,
    ) -> list[Observation | Fault]:
        """Starts several trials at the starts `indices` of one task."""
        entries = [
            {
                "trial": trial,
                "task": task,
                "index": index,
                "instruction": instruction,
                "seed": _seed_bytes(seed),
            }
            for trial, index in zip(trials, indices, strict=True)
        ]
        return [
            answer if isinstance(answer, Fault) else self._observation(answer)
            for answer in self._ask_trials(Verb.OPEN, entries)
        ]

    def step_trials(self, actions: Mapping[int, Floats | Sequence[float]]) -> list[Advance | Fault]:
        """Executes a chunk in each of several trials, in the order of `actions`."""
        entries = []
        for trial, chunk in actions.items():
            array = np.asarray(chunk, dtype=np.float32)
            entries.append({"trial": trial, "actions": array[None] if array.ndim == 1 else array})
        return [
            answer if isinstance(answer, Fault) else self._advance(answer)
            for answer in self._ask_trials(Verb.WORK, entries)
        ]

    def close_trials(self, trials: Sequence[int]) -> None:
        """Closes trials; those that are not open are passed over."""
        self._ask(Verb.END, {"trials": list(trials)}, trials)

    def _observation(self, answer: Mapping[str, Any]) -> Observation:
        return Observation.from_wire(answer.get("observation"), self.info.embodiment)

    def _advance(self, answer: Mapping[str, Any]) -> Advance:
        steps = []
        for entry in answer.get("steps") or ():
            step = protocol.as_map(entry, "answer.steps[]")
            success = step.get("success")
            steps.append(Step(self._observation(step), None if success is None else float(success)))
        return Advance(steps=steps, ended=bool(answer.get("ended")))


def connect_policy(
    name: str,
    *,
    timeout: float = DEFAULT_TIMEOUT,
    session: zenoh.Session | None = None,
    connect: Sequence[str] | None = None,
    listen: Sequence[str] | None = None,
    config: str | Path | None = None,
) -> PolicyClient:
    """Connects to the policy called `name`; `timeout` in seconds holds for every request."""
    return PolicyClient(
        name, timeout=timeout, session=session, connect=connect, listen=listen, config=config
    )


def connect_world(
    name: str,
    *,
    timeout: float = DEFAULT_TIMEOUT,
    session: zenoh.Session | None = None,
    connect: Sequence[str] | None = None,
    listen: Sequence[str] | None = None,
    config: str | Path | None = None,
) -> WorldClient:
    """Connects to the world called `name`; `timeout` in seconds holds for every request."""
    return WorldClient(
        name, timeout=timeout, session=session, connect=connect, listen=listen, config=config
    )
