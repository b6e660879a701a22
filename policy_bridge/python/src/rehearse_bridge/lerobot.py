"""A policy behind LeRobot's asynchronous inference server, served to rehearse.

    python -m rehearse_bridge.lerobot HOST:8080 --name act --rig rig.json --chunk 50 \\
        --policy-type act --checkpoint me/act_so100

LeRobot's server exchanges Python pickles over gRPC, so this runs as a process of its own, beside
LeRobot. Of what the server sends, nothing is unpickled but lists of `TimedAction` and their
tensors.
"""

from __future__ import annotations

import argparse
import io
import json
import pickle
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .embodiment import Embodiment
from .policy import serve_policy

MAX_REPLY_BYTES = 4 << 20

# What a pickled list of TimedAction refers to, and nothing else.
_NAMES = {
    ("lerobot.async_inference.helpers", "TimedAction"),
    ("torch._utils", "_rebuild_tensor_v2"),
    ("collections", "OrderedDict"),
}


class _ActionReader(pickle.Unpickler):
    """Reads actions and refuses every other name."""

    def find_class(self, module: str, name: str) -> Any:
        """The few classes and functions that actions are made of."""
        if (module, name) == ("torch.storage", "_load_from_bytes"):
            return _load_storage
        if (module, name) not in _NAMES:
            raise pickle.UnpicklingError(f"the reply refers to {module}.{name}, which is refused")
        return super().find_class(module, name)


def _load_storage(data: bytes) -> Any:
    import torch  # noqa: PLC0415 - heavy, and only where LeRobot is

    return torch.load(io.BytesIO(data), weights_only=True)


def read_actions(data: bytes) -> npt.NDArray[np.float32]:
    """The actions of a reply, (steps, dimensions)."""
    timed = _ActionReader(io.BytesIO(data)).load()
    if not isinstance(timed, list) or not timed:
        raise ValueError("the reply holds no actions")
    rows = [np.asarray(each.action.detach().cpu(), dtype=np.float32) for each in timed]
    return np.stack(rows)


class LerobotPolicy:
    """A client of LeRobot's policy server, one trial at a time.

    `motors` are LeRobot's names of the proprioception, as in `shoulder_pan.pos`; the rig's own if
    not given. Every observation is marked `must_go`: the server drops those that it finds too
    similar to the last one, which would decide trials by its threshold.
    """

    def __init__(
        self,
        address: str,
        *,
        rig: Embodiment,
        policy_type: str,
        checkpoint: str,
        chunk: int,
        device: str = "cpu",
        motors: Sequence[str] | None = None,
        timeout: float = 60.0,
    ) -> None:
        """Connects and has the server load the checkpoint, which may take minutes."""
        import grpc  # noqa: PLC0415 - only where LeRobot is
        from lerobot.async_inference import helpers  # noqa: PLC0415
        from lerobot.transport import services_pb2, services_pb2_grpc, utils  # noqa: PLC0415

        names = [channel.name for channel in rig.proprioception]
        self._motors = list(motors) if motors is not None else names
        if len(self._motors) != len(names):
            raise ValueError(f"{len(self._motors)} motors for {len(names)} values of the rig")
        self._helpers, self._messages, self._chunks = helpers, services_pb2, utils
        self._timeout = timeout
        self._step = 0
        self._channel = grpc.insecure_channel(
            address, [("grpc.max_receive_message_length", MAX_REPLY_BYTES)]
        )
        self._server = services_pb2_grpc.AsyncInferenceStub(self._channel)
        self._server.Ready(services_pb2.Empty(), timeout=timeout)
        setup = helpers.RemotePolicyConfig(
            policy_type=policy_type,
            pretrained_name_or_path=checkpoint,
            lerobot_features=self._features(rig),
            actions_per_chunk=chunk,
            device=device,
        )
        self._server.SendPolicyInstructions(
            services_pb2.PolicySetup(data=pickle.dumps(setup)), timeout=max(timeout, 600.0)
        )

    def _features(self, rig: Embodiment) -> dict[str, dict[str, Any]]:
        images = {
            f"observation.images.{camera.name}": {
                "dtype": "image",
                "shape": (camera.height, camera.width, 3),
                "names": ["height", "width", "channels"],
            }
            for camera in rig.cameras
        }
        state = {"dtype": "float32", "shape": (len(self._motors),), "names": self._motors}
        return {"observation.state": state, **images}

    def reset(self) -> None:
        """Empties the server's queue."""
        self._server.Ready(self._messages.Empty(), timeout=self._timeout)

    def infer(self, obs: dict[str, Any]) -> dict[str, npt.NDArray[np.float32]]:
        """Sends one observation and waits for its chunk."""
        raw = dict(zip(self._motors, map(float, obs["state"]), strict=True))
        raw |= {name: np.array(image) for name, image in obs["images"].items()}
        raw["task"] = obs["prompt"]
        # The server answers each step once, so steps are counted over all trials.
        self._step += 1
        timed = self._helpers.TimedObservation(
            timestamp=time.time(), timestep=self._step, observation=raw, must_go=True
        )
        chunks = self._chunks.send_bytes_in_chunks(pickle.dumps(timed), self._messages.Observation)
        self._server.SendObservations(chunks, timeout=self._timeout)
        reply = self._server.GetActions(self._messages.Empty(), timeout=self._timeout)
        if not reply.data:
            raise RuntimeError("the server could not act on the observation; its log says why")
        return {"actions": read_actions(reply.data)}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m rehearse_bridge.lerobot",
        description="Serves a policy behind LeRobot's asynchronous inference server.",
    )
    parser.add_argument("address", help="host:port of LeRobot's policy server")
    parser.add_argument("--name", required=True, help="name to serve under")
    parser.add_argument(
        "--rig", required=True, type=Path, metavar="FILE", help="the facts of the rig, in JSON"
    )
    parser.add_argument("--policy-type", required=True, help="act, smolvla, diffusion, pi0, ...")
    parser.add_argument("--checkpoint", required=True, help="what the server is to load")
    parser.add_argument("--chunk", required=True, type=int, help="actions in each chunk")
    parser.add_argument("--device", default="cpu", help="where the server is to put it")
    parser.add_argument(
        "--motors", help="LeRobot's names of the proprioception, separated by commas"
    )
    parser.add_argument("--timeout", type=float, default=60.0, help="seconds for an answer")
    parser.add_argument("--connect", action="append", metavar="ENDPOINT", help="as zenoh's")
    parser.add_argument("--listen", action="append", metavar="ENDPOINT", help="as zenoh's")
    parser.add_argument("--zenoh", metavar="FILE", help="a zenoh configuration file")
    arguments = parser.parse_args()
    rig = Embodiment.from_wire(json.loads(arguments.rig.read_text()))
    policy = LerobotPolicy(
        arguments.address,
        rig=rig,
        policy_type=arguments.policy_type,
        checkpoint=arguments.checkpoint,
        chunk=arguments.chunk,
        device=arguments.device,
        motors=arguments.motors.split(",") if arguments.motors else None,
        timeout=arguments.timeout,
    )
    print(f"serving policy {arguments.name}; end with Ctrl-C", flush=True)
    serve_policy(
        policy,
        name=arguments.name,
        embodiment=rig,
        chunk=arguments.chunk,
        connect=arguments.connect,
        listen=arguments.listen,
        config=arguments.zenoh,
    )


if __name__ == "__main__":
    main()
