from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import zenoh
from conftest import free_endpoint

from rehearse_bridge import (
    BridgeError,
    Embodiment,
    Fault,
    Observation,
    Server,
    connect_policy,
    open_session,
    protocol,
    serve_policy,
)
from rehearse_bridge.codec import pack, unpack
from rehearse_bridge.protocol import ReplyHead, RequestHead


class Echo:
    """Answers with the state, so that a mix-up of trials shows."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []

    def infer(self, obs: dict[str, Any]) -> dict[str, Any]:
        self.seen.append(obs)
        x, gripper = obs["state"]
        return {"actions": np.array([[x, obs["images"]["front"].sum(), gripper]] * 2, np.float64)}


@pytest.fixture
def echo(session: zenoh.Session, rig: Embodiment) -> Iterator[Echo]:
    policy = Echo()
    with serve_policy(
        policy, name="echo", embodiment=rig, chunk=2, max_batch=8, session=session, block=False
    ):
        yield policy


def test_a_policy_answers_with_its_actions(
    session: zenoh.Session, echo: Echo, seen: Observation
) -> None:
    with connect_policy("echo", session=session, timeout=5) as policy:
        assert (policy.info.chunk, policy.info.max_batch) == (2, 8)
        policy.reset("pick")
        actions = policy.infer(seen)["actions"]
    np.testing.assert_array_equal(actions, [[0.25, 72 * 71 / 2, 1.0]] * 2)
    (got,) = echo.seen
    assert got["prompt"] == "pick" and got["time_ns"] == 100_000_000
    np.testing.assert_array_equal(got["images"]["front"], seen.images["front"])
    assert not got["state"].flags.writeable or got["state"].dtype == np.float32


def test_it_works_across_the_network(rig: Embodiment, seen: Observation) -> None:
    endpoint = free_endpoint()
    with (
        serve_policy(
            Echo(), name="far", embodiment=rig, chunk=2, listen=[endpoint], block=False
        ) as server,
        connect_policy("far", connect=[endpoint], timeout=10) as policy,
    ):
        policy.reset("pick")
        assert policy.infer(seen)["actions"].shape == (2, 3)
        policy._session.get(protocol.key("policy", "far", "info"))
        server.close()
        with pytest.raises(BridgeError):
            policy.infer(seen)


def test_trials_of_one_request_are_answered_in_order(
    session: zenoh.Session, echo: Echo, seen: Observation
) -> None:
    with connect_policy("echo", session=session, timeout=5) as policy:
        policy.begin([7, 3, 5], ["a"] * 3, [0] * 3)
        states = {7: 0.5, 3: -0.5, 5: 0.125}
        observations = {
            trial: Observation(seen.images, np.array([x, 0], np.float32), "a")
            for trial, x in states.items()
        }
        answers = policy.act(observations)
    assert [float(answer[0, 0]) for answer in answers if not isinstance(answer, Fault)] == [
        0.5,
        -0.5,
        0.125,
    ]


class Batching:
    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.gate = threading.Semaphore(0)

    def infer(self, obs: dict[str, Any]) -> dict[str, Any]:
        raise AssertionError("infer_batch is there")

    def infer_batch(self, batch: list[dict[str, Any]]) -> list[dict[str, Any]]:
        self.gate.acquire()
        self.sizes.append(len(batch))
        return [{"actions": np.full((1, 3), obs["state"][0])} for obs in batch]


def test_requests_of_several_clients_share_a_batch(
    session: zenoh.Session, rig: Embodiment, seen: Observation
) -> None:
    batching = Batching()
    with serve_policy(
        batching, name="b", embodiment=rig, chunk=1, session=session, block=False
    ) as server:
        clients = [connect_policy("b", session=session, timeout=20) for _ in range(4)]
        answers: dict[int, Any] = {}

        def ask(number: int) -> None:
            state = np.array([number / 8, 0], np.float32)
            answers[number] = clients[number].infer(Observation(seen.images, state, "a"))["actions"]

        for client in clients:
            client.reset("a")
        threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
        threads[0].start()
        # Once the first is being worked on, the others pile up behind it.
        while not (server._pending and not server._queue):
            pass
        for thread in threads[1:]:
            thread.start()
        while len(server._queue) < 3:
            pass
        batching.gate.release(2)
        for thread in threads:
            thread.join()
    assert batching.sizes == [1, 3]
    assert {number: float(chunk[0, 0]) for number, chunk in answers.items()} == {
        0: 0.0,
        1: 0.125,
        2: 0.25,
        3: 0.375,
    }


@pytest.mark.parametrize(
    ("actions", "kind", "message"),
    [
        (np.zeros((2, 4)), "malformed_action", "expected (steps, 3)"),
        (np.zeros((3, 3)), "malformed_action", "at most 2"),
        (np.zeros((0, 3)), "malformed_action", "expected (steps, 3)"),
        (np.full((2, 3), np.nan), "malformed_action", "not finite"),
        (np.full((2, 3), 1e300), "malformed_action", "not finite"),
        (np.full((2, 3), 1.5), "malformed_action", "outside [-1.0, 1.0] of channel 'dx'"),
        (np.array([["a", "b", "c"]]), "malformed_action", "array <f4"),
        (None, "malformed_action", "array <f4"),
        ([[1, 2], [3]], "malformed_action", "no array"),
        (RuntimeError("out of memory"), "policy_crashed", "RuntimeError: out of memory"),
    ],
)
def test_a_bad_answer_is_a_fault_that_says_why(
    session: zenoh.Session,
    rig: Embodiment,
    seen: Observation,
    actions: Any,
    kind: str,
    message: str,
) -> None:
    class Bad:
        def infer(self, obs: dict[str, Any]) -> dict[str, Any]:
            if isinstance(actions, Exception):
                raise actions
            return {"actions": actions}

    with (
        serve_policy(Bad(), name="bad", embodiment=rig, chunk=2, session=session, block=False),
        connect_policy("bad", session=session, timeout=5) as policy,
    ):
        policy.reset("pick")
        with pytest.raises(Fault) as caught:
            policy.infer(seen)
        assert caught.value.kind == kind and message in caught.value.message
        with pytest.raises(Fault, match="not open"):
            policy.infer(seen)


def test_a_single_action_is_a_chunk_of_one(
    session: zenoh.Session, rig: Embodiment, seen: Observation
) -> None:
    class One:
        def infer(self, obs: dict[str, Any]) -> dict[str, Any]:
            return {"actions": [0, 1, 0]}

    with (
        serve_policy(One(), name="one", embodiment=rig, chunk=1, session=session, block=False),
        connect_policy("one", session=session, timeout=5) as policy,
    ):
        policy.reset()
        np.testing.assert_array_equal(policy.infer(seen)["actions"], [[0, 1, 0]])


def test_keys_put_an_observation_into_the_form_of_another_program(
    session: zenoh.Session, rig: Embodiment, seen: Observation
) -> None:
    got: dict[str, Any] = {}

    class Libero:
        def infer(self, obs: dict[str, Any]) -> dict[str, Any]:
            got.update(obs)
            return {"actions": np.zeros((1, 3), np.float32)}

    keys = {
        "observation/image": "images/front",
        "observation/state": "state",
        "observation/gripper": "state[1:2]",
        "prompt": "prompt",
    }
    with (
        serve_policy(
            Libero(), name="k", embodiment=rig, chunk=1, keys=keys, session=session, block=False
        ),
        connect_policy("k", session=session, timeout=5) as policy,
    ):
        policy.reset()
        policy.infer(seen)
    assert list(got) == list(keys)
    np.testing.assert_array_equal(got["observation/gripper"], [1.0])
    with pytest.raises(ValueError, match="images/ and one of"):
        serve_policy(
            Libero(), name="k", embodiment=rig, chunk=1, keys={"a": "images/x"}, session=session
        )


class Counting:
    def __init__(self) -> None:
        self.calls = -1000

    def reset(self, seed: int) -> None:
        self.calls = seed

    def infer(self, obs: dict[str, Any]) -> dict[str, Any]:
        self.calls += 1
        return {"actions": [[0, self.calls, 0]]}


def test_each_trial_of_a_factory_has_its_own_state(
    session: zenoh.Session, rig: Embodiment, seen: Observation
) -> None:
    with (
        serve_policy(Counting, name="c", embodiment=rig, chunk=1, session=session, block=False),
        connect_policy("c", session=session, timeout=5) as policy,
    ):
        assert policy.begin([0, 1], ["a", "b"], [10, 20]) == [None, None]
        for count in (1, 2):
            first, second = policy.act({0: seen, 1: seen})
            assert not isinstance(first, Fault) and not isinstance(second, Fault)
            assert (first[0, 1], second[0, 1]) == (10 + count, 20 + count)


def test_a_policy_with_state_serves_one_trial_at_a_time(
    session: zenoh.Session, rig: Embodiment
) -> None:
    with (
        serve_policy(Counting(), name="c", embodiment=rig, chunk=1, session=session, block=False),
        connect_policy("c", session=session, timeout=5) as policy,
    ):
        assert policy.begin([0], ["a"], [0]) == [None]
        (fault,) = policy.begin([1], ["a"], [0])
        assert isinstance(fault, Fault) and "one trial" in fault.message
        policy.end([0])
        assert policy.begin([1], ["a"], [0]) == [None]


def test_a_name_is_served_once(session: zenoh.Session, echo: Echo, rig: Embodiment) -> None:
    with pytest.raises(ValueError, match="served already"):
        serve_policy(echo, name="echo", embodiment=rig, chunk=2, session=session, block=False)
    with pytest.raises(ValueError, match="begin with a letter"):
        serve_policy(echo, name="a/b", embodiment=rig, chunk=2, session=session, block=False)


def ask(
    session: zenoh.Session, verb: str, payload: bytes, attachment: bytes | None
) -> tuple[bytes | None, Any]:
    """One query by hand: the attachment and payload of its answer, or the error."""
    key = protocol.key("policy", "echo", verb)
    (reply,) = list(session.get(key, payload=payload, attachment=attachment, timeout=5.0))
    if reply.ok is None:
        return None, protocol.unpack_error(reply.err.payload.to_bytes())
    return reply.ok.attachment.to_bytes(), unpack(reply.ok.payload.to_bytes())


CLIENT = bytes(range(16))


def head(request: int, trials: tuple[int, ...] = (1,), deadline_ms: int = 5000) -> bytes:
    return RequestHead(CLIENT, request, trials, deadline_ms).to_bytes()


def begin(trials: tuple[int, ...] = (1,)) -> bytes:
    return pack(
        {"trials": [{"trial": each, "instruction": "a", "seed": bytes(32)} for each in trials]}
    )


def act(seen: Observation, trials: tuple[int, ...] = (1,)) -> bytes:
    return pack({"trials": [{"trial": each, "observation": seen.to_wire()} for each in trials]})


def test_a_repeated_request_is_answered_from_memory(
    session: zenoh.Session, echo: Echo, seen: Observation
) -> None:
    assert ask(session, "begin", begin(), head(1)) == ask(session, "begin", begin(), head(1))
    first = ask(session, "act", act(seen), head(2))
    again = ask(session, "act", act(seen), head(2))
    assert first[0] == again[0] and len(echo.seen) == 1
    assert ReplyHead.from_bytes(first[0] or b"").request == 2
    ask(session, "act", act(seen), head(3))
    assert len(echo.seen) == 2


def test_an_answer_that_is_no_longer_held_is_called_lost(
    session: zenoh.Session, echo: Echo, seen: Observation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rehearse_bridge.server.MAX_HELD_BYTES", 0)
    ask(session, "begin", begin(), head(1))
    ask(session, "act", act(seen), head(2))
    _, error = ask(session, "act", act(seen), head(2))
    assert error.code == "answer_lost" and len(echo.seen) == 1


@pytest.mark.parametrize(
    ("verb", "payload", "attachment", "code"),
    [
        ("act", b"\x80", None, "malformed"),
        ("act", b"\x80", b"\xc1", "malformed"),
        ("act", b"\xc1", head(5), "malformed"),
        ("act", b"\x80", head(5), "malformed"),
        ("act", begin((2,)), head(5), "malformed"),
        ("begin", begin((1, 1)), head(5, (1, 1)), "malformed"),
        (
            "begin",
            begin(),
            head(5).replace(b"\xa7version\x01", b"\xa7version\x02"),
            "unsupported_version",
        ),
        ("begin", begin(tuple(range(9))), head(5, tuple(range(9))), "too_large"),
        ("begin", begin(), head(5, deadline_ms=0), "deadline"),
        ("end", b"\x90", head(5), "malformed"),
    ],
    ids=range(10),
)
def test_a_bad_request_is_refused_with_its_code(
    session: zenoh.Session,
    echo: Echo,
    seen: Observation,
    verb: str,
    payload: bytes,
    attachment: bytes | None,
    code: str,
) -> None:
    _, error = ask(session, verb, payload, attachment)
    assert error.code == code
    # And the server goes on.
    assert ask(session, "begin", begin(), head(6))[1] == {"trials": [{"trial": 1}]}
    assert "actions" in ask(session, "act", act(seen), head(7))[1]["trials"][0]


def test_a_payload_that_is_too_large_is_not_read(
    session: zenoh.Session, echo: Echo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "MAX_MESSAGE", 1000)
    _, error = ask(session, "act", bytes(1001), head(1))
    assert error.code == "too_large"


def test_a_bad_observation_is_its_own_trials_fault(
    session: zenoh.Session, echo: Echo, seen: Observation
) -> None:
    ask(session, "begin", begin((1, 2, 3, 4)), head(1, (1, 2, 3, 4)))
    wire = seen.to_wire()
    observations = [
        wire | {"images": {"front": np.zeros((4, 4, 3), np.uint8)}},
        wire | {"state": np.array([np.inf, 0], np.float32)},
        wire | {"images": {}},
        wire,
    ]
    payload = {
        "trials": [
            {"trial": trial, "observation": each} for trial, each in enumerate(observations, 1)
        ]
    }
    _, answer = ask(session, "act", pack(payload), head(2, (1, 2, 3, 4)))
    faults = [entry.get("fault", {}).get("message", "") for entry in answer["trials"]]
    assert "(4, 4, 3), expected |u1 (4, 6, 3)" in faults[0]
    assert "not finite" in faults[1]
    assert "lacks camera 'front'" in faults[2]
    assert "actions" in answer["trials"][3]


def test_compressed_images_are_read(session: zenoh.Session, echo: Echo, seen: Observation) -> None:
    image = pytest.importorskip("PIL.Image")
    file = io.BytesIO()
    image.fromarray(seen.images["front"]).save(file, "PNG")
    compressed = {"__image__": "png", "data": file.getvalue(), "shape": [4, 6, 3]}
    wire = seen.to_wire() | {"images": {"front": compressed}}
    ask(session, "begin", begin(), head(1))
    payload = pack({"trials": [{"trial": 1, "observation": wire}]})
    assert "actions" in ask(session, "act", payload, head(2))[1]["trials"][0]
    np.testing.assert_array_equal(echo.seen[0]["images"]["front"], seen.images["front"])
    ask(session, "begin", begin((2,)), head(3, (2,)))
    wrong = wire | {"images": {"front": compressed | {"data": b"no file"}}}
    payload = pack({"trials": [{"trial": 2, "observation": wrong}]})
    fault = ask(session, "act", payload, head(4, (2,)))[1]["trials"][0]["fault"]
    assert "no readable png" in fault["message"]


def test_ending_a_trial_drops_what_waits_for_it(
    session: zenoh.Session, rig: Embodiment, seen: Observation
) -> None:
    batching = Batching()
    server: Server
    with serve_policy(
        batching, name="echo", embodiment=rig, chunk=1, session=session, block=False
    ) as server:
        ask(session, "begin", begin((1, 2)), head(1, (1, 2)))
        results: dict[str, Any] = {}

        def late(name: str, verb: str, payload: bytes, attachment: bytes) -> threading.Thread:
            def run() -> None:
                results[name] = ask(session, verb, payload, attachment)

            thread = threading.Thread(target=run)
            thread.start()
            return thread

        working = late("working", "act", act(seen, (1,)), head(2, (1,)))
        while not (server._pending and not server._queue):
            pass
        waiting = late("waiting", "act", act(seen, (2,)), head(3, (2,)))
        while not server._queue:
            pass
        second = ask(session, "act", act(seen, (2,)), head(4, (2,)))
        ending = late("ending", "end", pack({"trials": [2]}), head(5, (2,)))
        waiting.join()
        batching.gate.release()
        working.join()
        ending.join()
    assert second[1].code == "malformed" and "in progress" in second[1].message
    assert results["waiting"][1].code == "cancelled"
    assert "actions" in results["working"][1]["trials"][0]
    assert results["ending"][1] == {} and batching.sizes == [1]


def test_the_trials_of_a_client_that_goes_are_ended(rig: Embodiment) -> None:
    endpoint = free_endpoint()
    with (
        serve_policy(Counting(), name="c", embodiment=rig, chunk=1, listen=[endpoint], block=False),
        connect_policy("c", connect=[endpoint], timeout=10) as stays,
    ):
        leaves = connect_policy("c", connect=[endpoint], timeout=10)
        leaves.reset("a")
        leaves.close()
        # The policy takes one trial at a time, so this works once the other's has ended.
        while isinstance(stays.begin([0], ["a"], [0])[0], Fault):
            pass


def test_nobody_there_is_said_so() -> None:
    with (
        open_session(listen=[free_endpoint()]) as session,
        pytest.raises(BridgeError, match="nobody serves a policy called 'ghost'"),
    ):
        connect_policy("ghost", session=session, timeout=0.2)
