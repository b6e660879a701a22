from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import zenoh

from rehearse_bridge import Look, Observation, serve_judge
from rehearse_bridge.codec import pack, unpack
from rehearse_bridge.protocol import RequestHead, key

_numbers = itertools.count(1)


def ask(session: zenoh.Session, verb: str, entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    trials = tuple(entry["trial"] for entry in entries)
    head = RequestHead(b"c" * 16, next(_numbers), trials, 20_000).to_bytes()
    (reply,) = session.get(
        key("judge", "vlm", verb), payload=pack({"trials": entries}), attachment=head, timeout=20.0
    )
    assert reply.ok is not None, reply.err
    answers: list[dict[str, Any]] = unpack(reply.ok.payload.to_bytes())["trials"]
    return answers


def begin(session: zenoh.Session, trial: int, seen: Observation, votes: Any) -> dict[str, Any]:
    entry = {
        "trial": trial,
        "instruction": "open it",
        "observation": seen.to_wire(),
        "votes": votes,
        "seed": bytes([5]) + bytes(31),
    }
    (answer,) = ask(session, "begin", [entry])
    return answer


def test_a_judge_sees_the_first_frame_and_the_latest_and_votes(
    session: zenoh.Session, seen: Observation
) -> None:
    looks: list[Look] = []

    def judge(look: Look) -> Any:
        looks.append(look)
        verdicts = [(True, "open"), False, None, (0.75, "ajar"), np.float32(1.0)]
        return verdicts[look.vote]

    later = Observation(
        {"front": np.full((2, 9, 3), 7, np.uint8)}, np.zeros(3, np.float32), "open it", 100
    )
    with serve_judge(
        judge, name="vlm", cameras=["front"], digest="d", session=session, block=False
    ):
        (reply,) = session.get(key("judge", "vlm", "info"))
        assert reply.ok is not None
        info = unpack(reply.ok.payload.to_bytes())
        assert (info["cameras"], info["max_batch"], info["digest"]) == (["front"], 1, "d")
        assert begin(session, 3, seen, 5) == {"trial": 3}
        (answer,) = ask(session, "judge", [{"trial": 3, "observation": later.to_wire()}])
        ask(session, "judge", [{"trial": 3, "observation": later.to_wire()}])
    assert answer["votes"] == [
        {"done": 1.0, "reason": "open"},
        {"done": 0.0},
        {},
        {"done": 0.75, "reason": "ajar"},
        {"done": 1.0},
    ]
    assert {look.instruction for look in looks} == {"open it"}
    np.testing.assert_array_equal(looks[0].first["front"], seen.images["front"])
    np.testing.assert_array_equal(looks[0].images["front"], later.images["front"])
    assert [look.seed for look in looks] == list(range(5, 15))


@pytest.mark.parametrize(
    ("verdict", "says"),
    [
        (float("nan"), "in [0, 1]"),
        (1.5, "in [0, 1]"),
        ("yes", "a number or None"),
        (RuntimeError("no key"), "RuntimeError: no key"),
    ],
)
def test_what_is_no_verdict_is_the_trials_fault(
    session: zenoh.Session, seen: Observation, verdict: Any, says: str
) -> None:
    def judge(look: Look) -> Any:
        if isinstance(verdict, Exception):
            raise verdict
        return verdict

    with serve_judge(judge, name="vlm", session=session, block=False):
        begin(session, 1, seen, 1)
        (answer,) = ask(session, "judge", [{"trial": 1, "observation": seen.to_wire()}])
        assert answer["fault"]["kind"] == "judge_broke"
        assert says in answer["fault"]["message"]
        (closed,) = ask(session, "judge", [{"trial": 1, "observation": seen.to_wire()}])
        assert "not open" in closed["fault"]["message"]


@pytest.mark.parametrize("votes", [0, 1001, "three", None])
def test_a_number_of_votes_that_cannot_be_is_refused(
    session: zenoh.Session, seen: Observation, votes: Any
) -> None:
    with serve_judge(lambda look: True, name="vlm", session=session, block=False):
        answer = begin(session, 1, seen, votes)
        assert "votes must be 1 to 1000" in answer["fault"]["message"]


def test_pictures_that_are_none_are_refused(session: zenoh.Session, seen: Observation) -> None:
    with serve_judge(lambda look: True, name="vlm", session=session, block=False):
        begin(session, 1, seen, 1)
        flat = seen.to_wire() | {"images": {"front": np.zeros((4, 6), np.uint8)}}
        (answer,) = ask(session, "judge", [{"trial": 1, "observation": flat}])
        assert "height x width x 3" in answer["fault"]["message"]
