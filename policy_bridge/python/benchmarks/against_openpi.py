"""Round trips of a Python policy server here and of openpi's websocket, side by side.

One 224x224x3 image and a state of 8 numbers go out, a chunk of 16x7 comes back. The policy does
nothing, so what is measured is the transport. Both servers run in processes of their own, and the
two are asked in turns, so that whatever else the machine does slows both.

    python benchmarks/against_openpi.py --openpi-python /path/to/venv/bin/python

`--openpi-python` is a Python with openpi-client 0.1.2, typing_extensions and websockets.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import socket
import subprocess
import sys
import time
from typing import Any

WARM_UP = 50
KEYS = {"observation/image": "images/front", "observation/state": "state", "prompt": "prompt"}

OPENPI_SERVER = """
import asyncio, sys
import numpy as np
from openpi_client import msgpack_numpy
import websockets.asyncio.server as server

ACTIONS = np.zeros((16, 7), np.float32)

async def handle(websocket):
    packer = msgpack_numpy.Packer()
    await websocket.send(packer.pack({}))
    async for message in websocket:
        msgpack_numpy.unpackb(message)
        await websocket.send(packer.pack({"actions": ACTIONS, "server_timing": {"infer_ms": 0.0}}))

async def main():
    # As in openpi's websocket_policy_server.py.
    async with server.serve(handle, "127.0.0.1", int(sys.argv[1]), compression=None, max_size=None):
        print("ready", flush=True)
        await asyncio.Future()

asyncio.run(main())
"""

OPENPI_CLIENT = """
import sys, time
import numpy as np
from openpi_client.websocket_client_policy import WebsocketClientPolicy

policy = WebsocketClientPolicy("127.0.0.1", int(sys.argv[1]))
observation = {
    "observation/image": np.zeros((224, 224, 3), np.uint8),
    "observation/state": np.zeros(8, np.float32),
    "prompt": "pick up the cup",
}
for line in sys.stdin:
    times = []
    for _ in range(int(line)):
        start = time.perf_counter()
        actions = policy.infer(observation)["actions"]
        times.append(time.perf_counter() - start)
    assert actions.shape == (16, 7)
    print(*times, flush=True)
"""


def rig() -> Any:
    from rehearse_bridge import Camera, Channel, Embodiment

    return Embodiment(
        rate=15.0,
        cameras=[Camera("front", 224, 224)],
        proprioception=[Channel(f"s{n}") for n in range(8)],
        actions=[Channel(f"a{n}") for n in range(7)],
    )


def serve(endpoint: str, shared_memory: bool) -> None:
    import numpy as np

    from rehearse_bridge import serve_policy

    class Nothing:
        def infer(self, obs: dict[str, Any]) -> dict[str, Any]:
            return {"actions": np.zeros((16, 7), np.float32)}

    server = serve_policy(
        Nothing(),
        name="bench",
        embodiment=rig(),
        chunk=16,
        keys=KEYS,
        session=session(listen=endpoint, shared_memory=shared_memory),
        block=False,
    )
    print("ready", flush=True)
    assert server._thread is not None
    server._thread.join()


def session(
    listen: str | None = None, connect: str | None = None, shared_memory: bool = False
) -> Any:
    import zenoh

    config = zenoh.Config()
    config.insert_json5("listen/endpoints", json.dumps([listen] if listen else []))
    config.insert_json5("connect/endpoints", json.dumps([connect] if connect else []))
    config.insert_json5("scouting/multicast/enabled", "false")
    config.insert_json5("transport/shared_memory/enabled", json.dumps(shared_memory))
    return zenoh.open(config)


def ask(endpoint: str, shared_memory: bool) -> None:
    import numpy as np

    from rehearse_bridge import Observation, connect_policy

    observation = Observation(
        {"front": np.zeros((224, 224, 3), np.uint8)}, np.zeros(8, np.float32), "pick up the cup"
    )
    opened = session(connect=endpoint, shared_memory=shared_memory)
    policy = connect_policy("bench", session=opened)
    policy.reset("pick up the cup")
    for line in sys.stdin:
        times = []
        for _ in range(int(line)):
            start = time.perf_counter()
            actions = policy.infer(observation)["actions"]
            times.append(time.perf_counter() - start)
        assert actions.shape == (16, 7)
        print(*times, flush=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Pair:
    """A server and a client in processes of their own."""

    def __init__(self, server: list[str], client: list[str]) -> None:
        self.server = subprocess.Popen(server, stdout=subprocess.PIPE, text=True)
        assert self.server.stdout is not None and self.server.stdout.readline() == "ready\n"
        self.client = subprocess.Popen(
            client, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.times: list[float] = []

    def ask(self, requests: int) -> list[float]:
        assert self.client.stdin is not None and self.client.stdout is not None
        self.client.stdin.write(f"{requests}\n")
        self.client.stdin.flush()
        return [float(each) for each in self.client.stdout.readline().split()]

    def stop(self) -> None:
        for process in (self.client, self.server):
            process.terminate()
            process.wait()


def percentile(times: list[float], share: float) -> float:
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--openpi-python", required=True)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--requests", type=int, default=50, help="of each, in a round")
    parser.add_argument("--at-least", type=float, default=0.0, help="fail below this ratio")
    arguments = parser.parse_args()

    def zenoh_pair(shared_memory: bool) -> Pair:
        endpoint = f"tcp/127.0.0.1:{free_port()}"
        me = [sys.executable, os.path.abspath(__file__)]
        memory = str(int(shared_memory))
        return Pair([*me, "--serve", endpoint, memory], [*me, "--ask", endpoint, memory])

    port = str(free_port())
    openpi = arguments.openpi_python
    pairs = {
        "openpi websocket": Pair(
            [openpi, "-c", OPENPI_SERVER, port], [openpi, "-c", OPENPI_CLIENT, port]
        ),
        "rehearse-bridge, TCP": zenoh_pair(False),
        "rehearse-bridge, shared memory": zenoh_pair(True),
    }
    try:
        for pair in pairs.values():
            pair.ask(WARM_UP)
        for _ in range(arguments.rounds):
            for pair in pairs.values():
                pair.times += pair.ask(arguments.requests)
    finally:
        for pair in pairs.values():
            pair.stop()
    base = percentile(pairs["openpi websocket"].times, 0.5)
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(f"{'':32}{'p50 ms':>9}{'p99 ms':>9}{'openpi p50 / p50':>19}{'n':>7}")
    ratios = {}
    for name, pair in pairs.items():
        half, most = percentile(pair.times, 0.5), percentile(pair.times, 0.99)
        ratios[name] = base / half
        print(f"{name:32}{half:9.3f}{most:9.3f}{base / half:19.2f}{len(pair.times):7}")
    if max(ratios.values()) < arguments.at_least:
        sys.exit(f"less than {arguments.at_least} times as fast as openpi's websocket")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(sys.argv[2], sys.argv[3] == "1")
    elif sys.argv[1:2] == ["--ask"]:
        ask(sys.argv[2], sys.argv[3] == "1")
    else:
        main()
