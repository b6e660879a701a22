"""What policies, worlds and judges share as servers: keys, queue, deadlines, death notices.

Queries are taken in by zenoh's threads, which only check and queue them. One worker, the thread
that calls `Server.run` or one started by `Server.start`, does everything else, so that a model or
a simulator is only ever touched by one thread.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import zenoh

from . import protocol
from .codec import pack, unpack
from .errors import BridgeError, Fault, FaultKind, MalformedError
from .protocol import ReplyHead, RequestHead, Side, Verb
from .session import open_session

logger = logging.getLogger("rehearse_bridge")

MAX_QUEUE = 256
MAX_OPEN_TRIALS = 65_536
MAX_HELD_BYTES = 64 << 20

Trial = tuple[bytes, int]
"""A client's id and its handle: handles of two clients are apart."""

Answer = dict[str, Any] | Fault
"""One trial's answer: what goes into its map, or its fault."""


class Backend(Protocol):
    """What a server serves. It is only called by the worker."""

    side: Side
    max_batch: int

    def info(self) -> dict[str, Any]:
        """The part of `info` between `name` and `images`."""

    def open(self, trial: Trial, request: dict[str, Any]) -> dict[str, Any]:
        """Opens a trial (`begin`, `reset`); the answer goes into its map."""

    def work(self, requests: Sequence[tuple[Trial, dict[str, Any]]]) -> list[Answer]:
        """Answers `act` or `step` for several open trials, in their order."""

    def end(self, trial: Trial) -> None:
        """Frees what an open trial holds."""

    def stop(self) -> None:
        """Frees everything; nothing is called any more."""


@dataclass
class _Request:
    verb: Verb
    head: RequestHead
    queries: list[zenoh.Query]
    deadline: float
    dropped: set[int] = field(default_factory=set)

    def id(self) -> tuple[bytes, int]:
        return self.head.client, self.head.request

    def touches(self, head: RequestHead) -> bool:
        """Whether it works on a trial of `head`."""
        return (
            self.verb is not Verb.END
            and self.head.client == head.client
            and not set(self.head.trials).isdisjoint(head.trials)
        )


class Server:
    """A policy, a world or a judge on the network, from construction until `close`."""

    def __init__(
        self,
        backend: Backend,
        name: str,
        *,
        session: zenoh.Session | None = None,
        connect: Sequence[str] | None = None,
        listen: Sequence[str] | None = None,
        config: str | Path | None = None,
    ) -> None:
        """Declares everything; raises `ValueError` if the name is taken or cannot be a key."""
        self.name = protocol.check_name(name)
        self.id = os.urandom(16)
        self._backend = backend
        self._side = backend.side
        self._own_session = session is None
        self._wake = threading.Condition()
        self._queue: deque[_Request] = deque()
        self._pending: dict[tuple[bytes, int], _Request] = {}
        self._answers = _Answers()
        self._gone: deque[bytes] = deque()
        self._open: set[Trial] = set()
        self._closing = False
        self._failure: BaseException | None = None
        self._thread: threading.Thread | None = None
        self._info = self._pack_info()
        self._session = session or open_session(connect=connect, listen=listen, config=config)
        self._declared: list[Any] = []
        try:
            self._declare()
        except BaseException:
            self._undeclare()
            raise
        logger.info("serving %s %r", self._side, name)

    def run(self) -> None:
        """Works until `close` is called from elsewhere, or until interrupted."""
        try:
            while (batch := self._next()) is not None:
                self._serve(batch)
        except KeyboardInterrupt:
            pass
        except BaseException as error:
            self._failure = error
            raise
        finally:
            with self._wake:
                self._closing = True
            self._undeclare()
            self._backend.stop()

    def start(self) -> Server:
        """Works in a thread of its own."""
        if self._thread is None:
            self._thread = threading.Thread(
                target=self.run, name=f"rehearse-{self.name}", daemon=True
            )
            self._thread.start()
        return self

    def close(self) -> None:
        """Stops working, withdraws from the network and frees everything."""
        with self._wake:
            self._closing = True
            self._wake.notify_all()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
        self._undeclare()

    def __enter__(self) -> Server:
        """Starts the worker."""
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Closes the server."""
        self.close()

    def _pack_info(self) -> bytes:
        return pack(
            {
                "protocol": protocol.VERSION,
                "server": self.id,
                "software": protocol.SOFTWARE,
                "name": self.name,
                **self._backend.info(),
                "images": protocol.image_forms(),
                "max_message": protocol.MAX_MESSAGE,
            }
        )

    def _declare(self) -> None:
        alive = protocol.alive_key(self._side, self.name)
        liveliness = self._session.liveliness()
        if any(reply.ok is not None for reply in liveliness.get(alive, timeout=2.0)):
            raise ValueError(f"a {self._side} called {self.name!r} is being served already")
        self._answer_at("info", self._on_info)
        for verb, word in zip(Verb, protocol.VERBS[self._side], strict=True):
            self._answer_at(word, partial(self._on_query, verb))
        watch = zenoh.handlers.Callback(self._on_client, indirect=False)
        self._declared.append(
            liveliness.declare_subscriber(protocol.ALIVE_CLIENTS, watch, history=False)
        )
        self._declared.append(liveliness.declare_token(alive))
        self._refuse_namesake()

    def _answer_at(self, word: str, on_query: Callable[[zenoh.Query], None]) -> None:
        key = protocol.key(self._side, self.name, word)
        handler = zenoh.handlers.Callback(on_query, indirect=False)
        self._declared.append(self._session.declare_queryable(key, handler))

    def _refuse_namesake(self) -> None:
        replies = self._session.get(
            protocol.key(self._side, self.name, "info"),
            target=zenoh.QueryTarget.ALL,
            consolidation=zenoh.ConsolidationMode.NONE,
            timeout=2.0,
        )
        for reply in replies:
            if reply.ok is None:
                continue
            other = protocol.as_map(unpack(reply.ok.payload.to_bytes(), "info"), "info")
            if isinstance(other.get("server"), bytes) and other["server"] < self.id:
                raise ValueError(f"a {self._side} called {self.name!r} is being served already")

    def _undeclare(self) -> None:
        declared, self._declared = self._declared, []
        for entity in reversed(declared):
            entity.undeclare()
        with self._wake:
            left = list(self._queue)
            self._queue.clear()
        for request in left:
            self._fail(request, BridgeError("failed", "the server is closing"))
        if self._own_session and not self._session.is_closed():
            self._session.close()

    # Taking queries in: zenoh's threads.

    def _on_info(self, query: zenoh.Query) -> None:
        query.reply(query.key_expr, self._info)
        query.drop()

    def _on_query(self, verb: Verb, query: zenoh.Query) -> None:
        try:
            head = RequestHead.from_bytes(_bytes(query.attachment))
            self._enqueue(verb, head, query)
        except BridgeError as error:
            self._reply_error(query, error)

    def _enqueue(self, verb: Verb, head: RequestHead, query: zenoh.Query) -> None:
        size = 0 if query.payload is None else len(query.payload)
        if size > protocol.MAX_MESSAGE:
            raise BridgeError(
                "too_large", f"a payload of {size} bytes, at most {protocol.MAX_MESSAGE} are read"
            )
        if verb is not Verb.END and len(head.trials) > self._backend.max_batch:
            raise BridgeError(
                "too_large",
                f"{len(head.trials)} trials in one request, at most {self._backend.max_batch}",
            )
        request = _Request(verb, head, [query], time.monotonic() + head.deadline_ms / 1000)
        cancelled: list[_Request] = []
        with self._wake:
            if (same := self._pending.get(request.id())) is not None:
                same.queries.append(query)
                return
            if (answer := self._answers.get(request.id())) is not None:
                self._reply(query, *answer)
                return
            if self._answers.lost(head):
                raise BridgeError("answer_lost", "the answer is no longer held")
            if self._closing or len(self._queue) >= MAX_QUEUE:
                raise BridgeError("busy", f"{len(self._queue)} requests wait already")
            if verb is Verb.END:
                cancelled = self._cancel(head)
            elif any(other.touches(head) for other in self._pending.values()):
                raise MalformedError("a trial has a request in progress already")
            self._queue.append(request)
            self._pending[request.id()] = request
            self._wake.notify()
        for other in cancelled:
            self._fail(other, BridgeError("cancelled", "its trials were ended"))

    def _cancel(self, head: RequestHead) -> list[_Request]:
        ended = set(head.trials)
        cancelled = []
        for other in list(self._queue):
            if other.verb is Verb.END or other.head.client != head.client:
                continue
            other.dropped |= ended.intersection(other.head.trials)
            if len(other.dropped) == len(other.head.trials):
                self._queue.remove(other)
                cancelled.append(other)
        return cancelled

    def _on_client(self, sample: zenoh.Sample) -> None:
        if sample.kind != zenoh.SampleKind.DELETE:
            return
        try:
            client = bytes.fromhex(str(sample.key_expr).rsplit("/", 1)[-1])
        except ValueError:
            return
        with self._wake:
            self._gone.append(client)
            self._wake.notify()

    # Working: one thread.

    def _next(self) -> list[_Request] | None:
        """The next request; further `act` requests join it up to the policy's batch."""
        with self._wake:
            while True:
                while self._gone:
                    self._forget_client(self._gone.popleft())
                if self._closing:
                    return None
                if self._queue:
                    break
                # The timeout lets an interrupt from the keyboard through.
                self._wake.wait(1.0)
            batch = [self._queue.popleft()]
            if batch[0].verb is Verb.WORK:
                trials = len(batch[0].head.trials)
                while self._queue and self._queue[0].verb is Verb.WORK:
                    trials += len(self._queue[0].head.trials)
                    if trials > self._backend.max_batch:
                        break
                    batch.append(self._queue.popleft())
            return batch

    def _serve(self, batch: list[_Request]) -> None:
        if batch[0].verb is Verb.WORK:
            self._serve_work(batch)
            return
        (request,) = batch
        try:
            payload = self._read(request)
            if request.verb is Verb.END:
                for number in protocol.trial_numbers(payload):
                    self._end((request.head.client, number))
                self._answer(request, {}, ())
            else:
                entries = protocol.trial_maps(payload, request.head.trials)
                answers = [
                    self._open_one((request.head.client, entry["trial"]), entry)
                    for entry in entries
                    if entry["trial"] not in request.dropped
                ]
                self._answer_trials(request, answers)
        except BridgeError as error:
            self._fail(request, error)

    def _read(self, request: _Request) -> Any:
        if time.monotonic() > request.deadline:
            raise BridgeError("deadline", "the deadline passed while the request waited")
        return unpack(_bytes(request.queries[0].payload), "payload")

    def _open_one(self, trial: Trial, entry: dict[str, Any]) -> dict[str, Any]:
        kind = _CRASHES[self._side]
        try:
            if trial in self._open:
                raise Fault(kind, f"trial {trial[1]} is open already")
            if len(self._open) >= MAX_OPEN_TRIALS:
                raise Fault(kind, f"{MAX_OPEN_TRIALS} trials are open already")
            answer = self._backend.open(trial, entry)
        except Fault as fault:
            return protocol.fault_to_wire(trial[1], fault)
        self._open.add(trial)
        return {"trial": trial[1], **answer}

    def _serve_work(self, batch: list[_Request]) -> None:
        ready: list[tuple[_Request, list[dict[str, Any]]]] = []
        for request in batch:
            try:
                entries = protocol.trial_maps(self._read(request), request.head.trials)
                ready.append(
                    (request, [each for each in entries if each["trial"] not in request.dropped])
                )
            except BridgeError as error:
                self._fail(request, error)
        asked = [
            ((request.head.client, entry["trial"]), entry)
            for request, entries in ready
            for entry in entries
        ]
        known = [(trial, entry) for trial, entry in asked if trial in self._open]
        try:
            answers = iter(self._backend.work(known)) if known else iter(())
            for request, entries in ready:
                found = []
                for entry in entries:
                    trial = (request.head.client, entry["trial"])
                    answer = next(answers) if trial in self._open else _not_open(self._side)
                    if isinstance(answer, Fault):
                        self._end(trial)
                        found.append(protocol.fault_to_wire(trial[1], answer))
                    else:
                        found.append({"trial": trial[1], **answer})
                self._answer_trials(request, found)
        except BridgeError as error:
            for request, _entries in ready:
                self._fail(request, error)

    def _end(self, trial: Trial) -> None:
        if trial in self._open:
            self._open.discard(trial)
            self._backend.end(trial)
        with self._wake:
            self._answers.forget(trial)

    def _forget_client(self, client: bytes) -> None:
        for trial in [trial for trial in self._open if trial[0] == client]:
            self._end(trial)
        with self._wake:
            self._answers.forget_client(client)

    def _answer_trials(self, request: _Request, answers: list[dict[str, Any]]) -> None:
        self._answer(request, {"trials": answers}, tuple(answer["trial"] for answer in answers))

    def _answer(self, request: _Request, payload: dict[str, Any], trials: tuple[int, ...]) -> None:
        packed = pack(payload)
        head = ReplyHead(self.id, request.head.request, trials).to_bytes()
        with self._wake:
            self._pending.pop(request.id(), None)
            if request.verb is not Verb.END:
                self._answers.hold(request.head, packed, head)
            queries = list(request.queries)
        for query in queries:
            self._reply(query, packed, head)

    def _fail(self, request: _Request, error: BridgeError) -> None:
        with self._wake:
            self._pending.pop(request.id(), None)
            queries = list(request.queries)
        for query in queries:
            self._reply_error(query, error)

    def _reply(self, query: zenoh.Query, payload: bytes, head: bytes) -> None:
        try:
            query.reply(query.key_expr, payload, attachment=head)
        except zenoh.ZError as error:
            logger.warning("a reply could not be sent: %s", error)
        query.drop()

    def _reply_error(self, query: zenoh.Query, error: BridgeError) -> None:
        try:
            query.reply_err(protocol.pack_error(error))
        except zenoh.ZError as failure:
            logger.warning("an error reply could not be sent: %s", failure)
        query.drop()


def _bytes(value: zenoh.ZBytes | None) -> bytes:
    return b"" if value is None else value.to_bytes()


_CRASHES: dict[Side, FaultKind] = {
    "policy": "policy_crashed",
    "world": "world_broke",
    "judge": "judge_broke",
}


def _not_open(side: Side) -> Fault:
    message = "the trial is not open: the server was restarted, or gave it up"
    return Fault(_CRASHES[side], message)


class _Answers:
    """The last answer of each trial, for requests that are sent again."""

    def __init__(self) -> None:
        self._held: OrderedDict[tuple[bytes, int], tuple[bytes, bytes]] = OrderedDict()
        self._users: dict[tuple[bytes, int], set[int]] = {}
        self._last: dict[Trial, int] = {}
        self._bytes = 0

    def get(self, request: tuple[bytes, int]) -> tuple[bytes, bytes] | None:
        return self._held.get(request)

    def lost(self, head: RequestHead) -> bool:
        # The requests of one trial have rising numbers.
        last = (self._last.get((head.client, trial), -1) for trial in head.trials)
        return any(head.request <= number for number in last)

    def hold(self, head: RequestHead, payload: bytes, attachment: bytes) -> None:
        request = (head.client, head.request)
        for trial in head.trials:
            self._release((head.client, trial))
            self._last[(head.client, trial)] = head.request
        self._held[request] = (payload, attachment)
        self._users[request] = set(head.trials)
        self._bytes += len(payload) + len(attachment)
        while self._bytes > MAX_HELD_BYTES:
            self._drop(next(iter(self._held)))

    def forget(self, trial: Trial) -> None:
        self._release(trial)
        self._last.pop(trial, None)

    def forget_client(self, client: bytes) -> None:
        for trial in [trial for trial in self._last if trial[0] == client]:
            self.forget(trial)

    def _release(self, trial: Trial) -> None:
        if (last := self._last.get(trial)) is None:
            return
        request = (trial[0], last)
        users = self._users.get(request)
        if users is not None:
            users.discard(trial[1])
            if not users:
                self._drop(request)

    def _drop(self, request: tuple[bytes, int]) -> None:
        payload, attachment = self._held.pop(request)
        self._bytes -= len(payload) + len(attachment)
        del self._users[request]
