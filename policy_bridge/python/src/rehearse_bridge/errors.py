"""What can go wrong, as exceptions whose text a person can act on."""

from __future__ import annotations

from typing import Literal

FaultKind = Literal[
    "policy_crashed",
    "policy_timeout",
    "malformed_action",
    "world_broke",
    "world_timeout",
    "judge_broke",
]
FAULT_KINDS: tuple[FaultKind, ...] = (
    "policy_crashed",
    "policy_timeout",
    "malformed_action",
    "world_broke",
    "world_timeout",
    "judge_broke",
)


class BridgeError(Exception):
    """A request that could not be served as a whole; `code` is one of the protocol's codes."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class MalformedError(BridgeError):
    """Bytes or values that break a rule of the protocol."""

    def __init__(self, message: str) -> None:
        super().__init__("malformed", message)


class EmbodimentError(ValueError):
    """Facts of a rig that contradict themselves or are incomplete."""


class Fault(Exception):
    """What broke in one trial. The other trials of the same request go on."""

    def __init__(self, kind: FaultKind, message: str) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind: FaultKind = kind
        self.message = message
