"""Serving a judge: anything that looks at pictures and says whether a task is done."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
import zenoh

from . import protocol
from .embodiment import Camera
from .errors import Fault, MalformedError
from .protocol import Pixels, Side
from .server import Answer, Server, Trial

logger = logging.getLogger("rehearse_bridge")

MAX_VOTES = 1000
_SIDE = range(1, 16_385)


@dataclass(frozen=True)
class Look:
    """What a judge is shown. `images` and `first` are uint8, height x width x 3, by camera name."""

    instruction: str
    images: Mapping[str, Pixels]
    first: Mapping[str, Pixels]
    """What the trial showed before its first action."""
    state: protocol.Floats
    time_ns: int
    vote: int
    """Number of the vote, from 0."""
    seed: int
    """Seed of this vote's own draws."""


Verdict = bool | float | None
Judge = Callable[[Look], Verdict | tuple[Verdict, str]]


@dataclass
class _Watched:
    instruction: str
    first: Mapping[str, Pixels]
    votes: int
    seed: int
    looks: int = 0


class JudgeBackend:
    """A judge behind a `Server`."""

    side: Side = "judge"

    def __init__(
        self, judge: Judge, *, cameras: Sequence[str], max_batch: int, digest: str | None
    ) -> None:
        """See `serve_judge`."""
        if not callable(judge):
            raise TypeError(f"{type(judge).__name__} cannot be called with what is to be judged")
        if max_batch < 1:
            raise ValueError(f"max_batch must be at least 1, got {max_batch}")
        self.max_batch = max_batch
        self._judge = judge
        self._cameras = list(cameras)
        self._digest = digest
        self._trials: dict[Trial, _Watched] = {}

    def info(self) -> dict[str, Any]:
        """Cameras, batch, digest."""
        info = {"cameras": self._cameras, "max_batch": self.max_batch}
        return info if self._digest is None else info | {"digest": self._digest}

    def open(self, trial: Trial, request: dict[str, Any]) -> dict[str, Any]:
        """Begins to watch a trial."""
        votes = request.get("votes")
        if type(votes) is not int or not 1 <= votes <= MAX_VOTES:
            raise Fault("judge_broke", f"votes must be 1 to {MAX_VOTES}, got {votes!r}")
        try:
            self._trials[trial] = _Watched(
                instruction=protocol.text(request, "instruction"),
                first=_seen(request)["images"],
                votes=votes,
                seed=protocol.seed_number(protocol.seed(request)),
            )
        except MalformedError as error:
            raise Fault("judge_broke", f"refused a trial: {error.message}") from error
        return {}

    def work(self, requests: Sequence[tuple[Trial, dict[str, Any]]]) -> list[Answer]:
        """Has the judge vote on each observation."""
        answers: list[Answer] = []
        for trial, request in requests:
            try:
                watched = self._trials[trial]
                answers.append({"votes": self._votes(watched, _seen(request))})
                watched.looks += 1
            except MalformedError as error:
                answers.append(Fault("judge_broke", f"refused an observation: {error.message}"))
            except Fault as fault:
                answers.append(fault)
        return answers

    def _votes(self, watched: _Watched, seen: dict[str, Any]) -> list[dict[str, Any]]:
        votes = []
        for vote in range(watched.votes):
            number = watched.looks * watched.votes + vote
            look = Look(
                instruction=watched.instruction,
                first=watched.first,
                vote=vote,
                seed=(watched.seed + number) % 2**64,
                **seen,
            )
            try:
                votes.append(_vote(self._judge(look)))
            except Fault:
                raise
            except Exception as error:
                logger.exception("the judge failed", exc_info=error)
                message = f"the judge raised {type(error).__name__}: {error}"
                raise Fault("judge_broke", message) from error
        return votes

    def end(self, trial: Trial) -> None:
        """Forgets a trial."""
        self._trials.pop(trial, None)

    def stop(self) -> None:
        """Forgets everything."""
        self._trials.clear()


def _vote(said: Any) -> dict[str, Any]:
    verdict, reason = said if isinstance(said, tuple) and len(said) == 2 else (said, None)
    vote: dict[str, Any] = {}
    if verdict is not None:
        if not isinstance(verdict, bool | int | float | np.bool_ | np.number):
            raise Fault("judge_broke", f"a verdict must be a number or None, got {verdict!r}")
        done = float(verdict)
        if not math.isfinite(done) or not 0.0 <= done <= 1.0:
            raise Fault("judge_broke", f"a verdict must be in [0, 1], got {done}")
        vote["done"] = done
    if reason is not None:
        vote["reason"] = str(reason).encode()[: protocol.MAX_TEXT].decode(errors="ignore")
    return vote


def _seen(request: Mapping[str, Any]) -> dict[str, Any]:
    entries = protocol.as_map(request.get("observation"), "observation")
    images = protocol.as_map(entries.get("images"), "observation.images")
    state, time_ns = entries.get("state"), entries.get("time_ns")
    if not isinstance(state, np.ndarray):
        raise MalformedError("observation.state must be an array")
    if type(time_ns) is not int:
        raise MalformedError(f"observation.time_ns must be an integer, got {time_ns!r}")
    return {
        "images": {
            name: protocol.read_image(image, _camera(name, image)) for name, image in images.items()
        },
        "state": protocol.read_state(state, state.size),
        "time_ns": time_ns,
    }


def _camera(name: str, image: Any) -> Camera:
    """A camera of the size that an image states: a judge takes any."""
    shape = image.get("shape") if isinstance(image, dict) else getattr(image, "shape", None)
    sides = list(shape) if isinstance(shape, list | tuple) else []
    if len(sides) != 3 or any(type(side) is not int or side not in _SIDE for side in sides[:2]):
        raise MalformedError(f"observation.images[{name!r}] must be height x width x 3")
    return Camera(name, height=sides[0], width=sides[1])


@overload
def serve_judge(
    judge: Judge,
    *,
    name: str,
    cameras: Sequence[str] = (),
    max_batch: int = 1,
    digest: str | None = None,
    session: zenoh.Session | None = None,
    connect: Sequence[str] | None = None,
    listen: Sequence[str] | None = None,
    config: str | Path | None = None,
    block: Literal[True] = True,
) -> None: ...


@overload
def serve_judge(
    judge: Judge,
    *,
    name: str,
    cameras: Sequence[str] = (),
    max_batch: int = 1,
    digest: str | None = None,
    session: zenoh.Session | None = None,
    connect: Sequence[str] | None = None,
    listen: Sequence[str] | None = None,
    config: str | Path | None = None,
    block: Literal[False],
) -> Server: ...


def serve_judge(
    judge: Judge,
    *,
    name: str,
    cameras: Sequence[str] = (),
    max_batch: int = 1,
    digest: str | None = None,
    session: zenoh.Session | None = None,
    connect: Sequence[str] | None = None,
    listen: Sequence[str] | None = None,
    config: str | Path | None = None,
    block: bool = True,
) -> Server | None:
    """Serves a judge under `name`, in this thread until interrupted, or with `block=False` not.

    `judge(look)` returns whether the task is done in what it is shown: `True`, `False`, a
    probability, or `None` where it cannot tell; or a pair of that and its reason in words. It is
    called once for each vote that is asked for, each with a seed of its own.

    `cameras` names those that it looks through, all that there are if empty. `digest` is that of
    its weights and of its prompt: runs are told apart by it. `connect`, `listen` and `config` are
    those of `open_session`.
    """
    backend = JudgeBackend(judge, cameras=cameras, max_batch=max_batch, digest=digest)
    server = Server(backend, name, session=session, connect=connect, listen=listen, config=config)
    if not block:
        return server.start()
    server.run()
    return None
