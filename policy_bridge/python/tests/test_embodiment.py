from __future__ import annotations

import pytest

from rehearse_bridge import Camera, Channel, Embodiment, EmbodimentError, MalformedError


def test_an_embodiment_survives_the_wire_and_says_no_more_than_it_states() -> None:
    rig = Embodiment(
        rate=15,
        cameras=[Camera("wrist", 8, 8)],
        proprioception=[],
        actions=[
            Channel("x", "position", "m", (-1, 1), "delta", "base"),
            Channel("roll", rotation="roll_pitch_yaw"),
            Channel("grip", "gripper", gripper="high_is_open"),
        ],
        robot="widowx",
    )
    wire = rig.to_wire()
    assert list(wire) == ["robot", "rate", "cameras", "proprioception", "actions"]
    assert wire["actions"][1] == {"name": "roll", "rotation": "roll_pitch_yaw"}
    assert wire["actions"][0]["bounds"] == [-1.0, 1.0]
    assert Embodiment.from_wire(wire).to_wire() == wire


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rate": 0.0}, "rate"),
        ({"rate": float("nan")}, "rate"),
        ({"actions": []}, "actions is empty"),
        ({"actions": [Channel("a"), Channel("a")]}, "two entries"),
        ({"actions": [Channel("a", bounds=(1.0, 1.0))]}, "in order"),
        ({"actions": [Channel("a", unit="km")]}, "unit 'km'"),  # type: ignore[arg-type]
        ({"cameras": [Camera("c", 0, 4)]}, "0x4"),
    ],
)
def test_impossible_rigs_are_refused(change: dict[str, object], message: str) -> None:
    facts: dict[str, object] = {
        "rate": 1.0,
        "cameras": [],
        "proprioception": [],
        "actions": [Channel("a")],
    }
    with pytest.raises(EmbodimentError, match=message):
        Embodiment(**(facts | change))  # type: ignore[arg-type]


def test_a_misspelt_fact_is_refused(rig: Embodiment) -> None:
    wire = rig.to_wire()
    wire["actions"][0]["refrence"] = "delta"
    with pytest.raises(MalformedError, match="refrence"):
        Embodiment.from_wire(wire)
