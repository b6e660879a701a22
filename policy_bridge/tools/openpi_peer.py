"""The other side of an openpi bridge, for parity_clients.sh.

`serve PORT` and `ask PORT` need openpi-client 0.1.2 (and websockets, which it brings);
`ask-bridge NAME ENDPOINT` needs rehearse-bridge.

The policy answers with the joints and the gripper that it was shown, so that a value that is
lost, swapped or rescaled on the way shows.
"""

import asyncio
import sys

import numpy as np

JOINTS = np.linspace(-1, 1, 7)
GRIPPER = np.array([0.25])
SIDE = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
WRIST = SIDE[::-1].copy()
EXPECTED = np.stack([np.r_[JOINTS, GRIPPER]] * 2).astype(np.float32)


def serve(port: int) -> None:
    import websockets.asyncio.server as server
    from openpi_client import msgpack_numpy

    async def handle(socket) -> None:
        packer = msgpack_numpy.Packer()
        await socket.send(packer.pack({"policy": "mirror"}))
        async for message in socket:
            obs = msgpack_numpy.unpackb(message)
            assert obs["prompt"] == "pick up the cup", obs["prompt"]
            np.testing.assert_array_equal(obs["observation/exterior_image_1_left"], SIDE)
            np.testing.assert_array_equal(obs["observation/wrist_image_left"], WRIST)
            row = np.r_[obs["observation/joint_position"], obs["observation/gripper_position"]]
            await socket.send(packer.pack({"actions": np.stack([row, row]).astype(np.float32)}))

    async def run() -> None:
        async with server.serve(handle, "127.0.0.1", port, compression=None, max_size=None):
            print("ready", flush=True)
            await asyncio.Future()

    asyncio.run(run())


def ask(port: int) -> None:
    from openpi_client.websocket_client_policy import WebsocketClientPolicy

    policy = WebsocketClientPolicy("127.0.0.1", port)
    for _ in range(3):
        reply = policy.infer(
            {
                "observation/exterior_image_1_left": SIDE,
                "observation/wrist_image_left": WRIST,
                "observation/joint_position": JOINTS,
                "observation/gripper_position": GRIPPER,
                "prompt": "pick up the cup",
            }
        )
        np.testing.assert_allclose(reply["actions"], EXPECTED, atol=1e-6)
        assert reply["server_timing"]["infer_ms"] > 0
    try:
        policy.infer({"prompt": "blind"})
    except RuntimeError as error:
        assert "observation/exterior_image_1_left" in str(error), error
    else:
        raise AssertionError("an observation without images was answered")
    print("openpi-client was answered")


def ask_bridge(name: str, endpoint: str) -> None:
    from rehearse_bridge import Observation, connect_policy

    seen = Observation(
        {"side": SIDE, "wrist": WRIST},
        np.r_[JOINTS, GRIPPER].astype(np.float32),
        "pick up the cup",
    )
    with connect_policy(name, connect=[endpoint], timeout=10) as policy:
        assert policy.info.chunk == 2
        policy.reset("pick up the cup")
        for _ in range(3):
            np.testing.assert_allclose(policy.infer(seen)["actions"], EXPECTED, atol=1e-6)
    print("the bridge was answered")


if __name__ == "__main__":
    what, *arguments = sys.argv[1:]
    if what == "serve":
        serve(int(arguments[0]))
    elif what == "ask":
        ask(int(arguments[0]))
    else:
        ask_bridge(*arguments)
