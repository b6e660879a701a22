"""The bytes of protocol version 1, as the Rust implementation writes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rehearse_bridge import Embodiment, Observation
from rehearse_bridge.codec import pack, unpack
from rehearse_bridge.protocol import (
    ReplyHead,
    RequestHead,
    fault_from_wire,
    fault_to_wire,
    pack_error,
    read_actions,
    seed_number,
    unpack_error,
)

MESSAGES = json.loads((Path(__file__).parent / "fixtures/protocol_v1.json").read_text())["messages"]


def message(name: str) -> bytes:
    return bytes.fromhex(MESSAGES[name])


@pytest.mark.parametrize("name", sorted(MESSAGES))
def test_every_message_is_read_and_written_byte_for_byte(name: str) -> None:
    assert pack(unpack(message(name))) == message(name)


def test_attachments_and_errors_keep_their_order() -> None:
    request = RequestHead.from_bytes(message("attachment_request"))
    assert request.trials == (7, 300) and request.deadline_ms == 30_000
    assert request.to_bytes() == message("attachment_request")
    assert ReplyHead.from_bytes(message("attachment_reply")).to_bytes() == message(
        "attachment_reply"
    )
    error = unpack_error(message("error"))
    assert error.code == "busy" and pack_error(error) == message("error")


@pytest.mark.parametrize("name", ["policy_info_reply", "world_info_reply"])
def test_an_embodiment_is_written_as_it_was_read(name: str) -> None:
    info = unpack(message(name))
    info["embodiment"] = Embodiment.from_wire(info["embodiment"]).to_wire()
    assert pack(info) == message(name)


def rewritten(name: str, embodiment: dict[str, Any]) -> bytes:
    """A message whose observations, actions and faults went through this package's types."""
    rig = Embodiment.from_wire(embodiment)
    value = unpack(message(name))
    for trial in value["trials"]:
        for holder in (trial, *trial.get("steps", ())):
            if "observation" in holder:
                holder["observation"] = Observation.from_wire(holder["observation"], rig).to_wire()
        if "actions" in trial:
            trial["actions"] = read_actions(trial["actions"], rig.actions)
        if "fault" in trial:
            trial["fault"] = fault_to_wire(0, fault_from_wire(trial["fault"]))["fault"]
    return pack(value)


@pytest.mark.parametrize(
    "name",
    [
        "judge_begin",
        "policy_act",
        "policy_act_reply",
        "world_reset",
        "world_reset_reply",
        "world_step_reply",
    ],
)
def test_observations_actions_and_faults_keep_their_bytes(name: str) -> None:
    embodiment = unpack(message("policy_info_reply"))["embodiment"]
    assert rewritten(name, embodiment) == message(name)


def test_a_seed_is_its_first_eight_bytes() -> None:
    seed = unpack(message("policy_begin"))["trials"][0]["seed"]
    assert seed_number(seed) == 0x0706050403020100
