"""LeRobot's own policy server, with a small ACT policy of random weights."""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zenoh

from rehearse_bridge import Camera, Channel, Embodiment, Observation, connect_policy, serve_policy

try:
    import grpc
    import torch
    from lerobot.async_inference.configs import PolicyServerConfig
    from lerobot.async_inference.helpers import TimedAction
    from lerobot.async_inference.policy_server import PolicyServer
    from lerobot.configs.types import FeatureType, PolicyFeature
    from lerobot.policies.act.configuration_act import ACTConfig
    from lerobot.policies.act.modeling_act import ACTPolicy
    from lerobot.policies.factory import make_pre_post_processors
    from lerobot.transport import services_pb2_grpc
except (ImportError, OSError, ValueError) as error:
    pytest.skip(f"lerobot is not installed: {error}", allow_module_level=True)

from rehearse_bridge.lerobot import LerobotPolicy, read_actions

CHUNK = 4
RIG = Embodiment(
    rate=10.0,
    cameras=[Camera("front", 64, 64)],
    proprioception=[Channel("pan.pos"), Channel("lift.pos")],
    actions=[Channel("pan.pos"), Channel("lift.pos")],
)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    config = ACTConfig(
        input_features={
            "observation.state": PolicyFeature(FeatureType.STATE, (2,)),
            "observation.images.front": PolicyFeature(FeatureType.VISUAL, (3, 64, 64)),
        },
        output_features={"action": PolicyFeature(FeatureType.ACTION, (2,))},
        chunk_size=CHUNK,
        n_action_steps=CHUNK,
        pretrained_backbone_weights=None,
        dim_model=32,
        n_heads=2,
        dim_feedforward=32,
        n_encoder_layers=1,
        n_vae_encoder_layers=1,
        device="cpu",
        push_to_hub=False,
    )
    folder = tmp_path_factory.mktemp("act")
    ACTPolicy(config).save_pretrained(folder)
    flat = {"mean": torch.zeros(2), "std": torch.ones(2)}
    image = {"mean": torch.full((3, 1, 1), 0.5), "std": torch.full((3, 1, 1), 0.25)}
    stats = {"observation.state": flat, "action": flat, "observation.images.front": image}
    for processor in make_pre_post_processors(config, dataset_stats=stats):
        processor.save_pretrained(folder)
    return folder


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.chdir(tmp_path)
    server = grpc.server(futures.ThreadPoolExecutor(4))
    config = PolicyServerConfig(host="127.0.0.1", port=1, inference_latency=0.0)
    services_pb2_grpc.add_AsyncInferenceServicer_to_server(PolicyServer(config), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None)


def test_a_policy_behind_lerobots_server_is_served(
    session: zenoh.Session, address: str, checkpoint: Path
) -> None:
    policy = LerobotPolicy(
        address, rig=RIG, policy_type="act", checkpoint=str(checkpoint), chunk=CHUNK
    )
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    seen = Observation({"front": pixels}, np.array([0.5, -0.5], np.float32), "pick")
    moved = Observation({"front": pixels}, np.array([0.6, -0.5], np.float32), "pick")
    with (
        serve_policy(policy, name="act", embodiment=RIG, chunk=CHUNK, session=session, block=False),
        connect_policy("act", session=session, timeout=60) as client,
    ):
        client.reset("pick")
        first = client.infer(seen)["actions"]
        # Closer than LeRobot's threshold for "the same", and answered all the same.
        other = client.infer(moved)["actions"]
        client.reset("pick")
        again = client.infer(seen)["actions"]
    assert first.shape == (CHUNK, 2)
    np.testing.assert_allclose(first, again, atol=1e-6)
    assert np.abs(first - other).max() > 1e-6


def test_actions_are_read_and_nothing_else() -> None:
    timed = [TimedAction(0.0, step, torch.tensor([step, 0.5])) for step in range(3)]
    np.testing.assert_array_equal(read_actions(pickle.dumps(timed))[:, 0], [0, 1, 2])

    class Evil:
        def __reduce__(self) -> Any:
            return (print, ("evil",))

    for payload in (Evil(), [TimedAction(0.0, 0, Evil())]):
        with pytest.raises(pickle.UnpicklingError, match="refused"):
            read_actions(pickle.dumps(payload))
    inner = io.BytesIO()
    torch.save(Evil(), inner)

    class Nested:
        def __reduce__(self) -> Any:
            return (torch.storage._load_from_bytes, (inner.getvalue(),))

    with pytest.raises(pickle.UnpicklingError):
        read_actions(pickle.dumps([Nested()]))
