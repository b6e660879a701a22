"""Serve a robot policy, a Gymnasium environment or a judge to rehearse, over zenoh.

`serve_policy`, `serve_world` and `serve_judge` are all that most users need. The wire protocol is
described in `docs/protocol.md` of the rehearse repository.
"""

from .client import (
    Advance,
    PolicyClient,
    ServerInfo,
    Step,
    WorldClient,
    connect_policy,
    connect_world,
)
from .embodiment import Camera, Channel, Embodiment
from .errors import BridgeError, EmbodimentError, Fault, MalformedError
from .judge import Look, serve_judge
from .policy import serve_policy
from .protocol import Observation
from .server import Server
from .session import open_session
from .spaces import embodiment_of
from .world import Start, reset_by_index, serve_world, success_from_info

__all__ = [
    "Advance",
    "BridgeError",
    "Camera",
    "Channel",
    "Embodiment",
    "EmbodimentError",
    "Fault",
    "Look",
    "MalformedError",
    "Observation",
    "PolicyClient",
    "Server",
    "ServerInfo",
    "Start",
    "Step",
    "WorldClient",
    "connect_policy",
    "connect_world",
    "embodiment_of",
    "open_session",
    "reset_by_index",
    "serve_judge",
    "serve_policy",
    "serve_world",
    "success_from_info",
]
