"""A Gymnasium environment as a world and a Python policy for it, for parity_clients.sh."""

import sys

import gymnasium
import numpy as np

from rehearse_bridge import embodiment_of, open_session, serve_policy, serve_world


class Swing:
    """Pushes the way that the pendulum turns."""

    def infer(self, obs):
        _cosine, _sine, speed = obs["state"]
        return {"actions": np.full((8, 1), 2.0 * np.sign(speed), np.float32)}


def make():
    return gymnasium.make("Pendulum-v1", render_mode="rgb_array")


session = open_session(listen=[sys.argv[1]])
rig = embodiment_of(make(), rate=20, camera="front")
with serve_world(make, name="pendulum", embodiment=rig, session=session, block=False):
    print("serving", flush=True)
    serve_policy(Swing(), name="swing", embodiment=rig, chunk=8, max_batch=4, session=session)
