from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import zenoh

from rehearse_bridge import Embodiment, Fault, Observation, connect_policy, serve_policy

try:
    import torch
except (ImportError, OSError, ValueError):
    pytest.skip("torch is not installed", allow_module_level=True)


class Network:
    """A convolution and a linear layer with fixed weights; one forward pass for a batch."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.see = torch.nn.Conv2d(3, 4, 3).eval()
        self.act = torch.nn.Linear(4 + 2, 2 * 3).eval()

    @torch.inference_mode()
    def infer_batch(self, batch: list[dict[str, Any]]) -> list[dict[str, Any]]:
        pixels = torch.from_numpy(np.stack([obs["images"]["front"] for obs in batch]))
        state = torch.from_numpy(np.stack([obs["state"] for obs in batch]))
        seen = self.see(pixels.permute(0, 3, 1, 2) / 255).amax((2, 3))
        actions = torch.tanh(self.act(torch.cat([seen, state], 1))).reshape(-1, 2, 3)
        return [{"actions": chunk} for chunk in actions.numpy()]

    def infer(self, obs: dict[str, Any]) -> dict[str, Any]:
        return self.infer_batch([obs])[0]


def test_a_torch_policy_is_served(
    session: zenoh.Session, rig: Embodiment, seen: Observation
) -> None:
    network = Network()
    local = network.infer({"images": seen.images, "state": seen.state})["actions"]
    with (
        serve_policy(network, name="torch", embodiment=rig, chunk=2, session=session, block=False),
        connect_policy("torch", session=session, timeout=20) as policy,
    ):
        policy.begin([0, 1], ["a", "b"], [0, 0])
        other = Observation(seen.images, np.array([-1, 0.5], np.float32), "b")
        first, second = policy.act({0: seen, 1: other})
    assert not isinstance(first, Fault) and not isinstance(second, Fault)
    np.testing.assert_allclose(first, local, atol=1e-6)
    assert np.abs(first - second).max() > 0.01
