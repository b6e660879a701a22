"""Four Meta-World tasks as a world of `rehearse`: MuJoCo in the place of the robot.

Camera, state, action and control rate are those of the Meta-World logs. With `--experts`,
Meta-World's scripted experts and courses that depart from theirs are served by this process too
(see `experts.py`, `courses.py`).
"""

from __future__ import annotations

import argparse
import os
from typing import Any

os.environ.setdefault("MUJOCO_GL", "egl")

import gymnasium
import mujoco
import numpy as np
import numpy.typing as npt
from courses import serve_courses
from experts import serve_experts
from metaworld.env_dict import ALL_V3_ENVIRONMENTS
from rehearse_bridge import Camera, Channel, Embodiment, Start, open_session, serve_world

TASKS = {
    "drawer-open-v3": "open the drawer",
    "button-press-v3": "press the button",
    "door-open-v3": "open the door",
    "pick-place-v3": "pick up the puck and place it at the goal",
}
"""The tasks and their instructions."""

SIDE = 128
RATE = 40.0
HELD = 2
"""Simulator steps (80 Hz) for which each action is held."""

APART = 0.15
"""Least distance in metres, in the plane, of the puck and its goal: Meta-World's own rule."""

MOST_TRIALS = 64
"""Trials that may be open at once, unless stated otherwise; each has a simulator of its own."""

LOOKAT = np.array((0.0, 0.62, 0.1))
DISTANCE, AZIMUTH, ELEVATION = 1.15, 150.0, -35.0
"""The camera: what it looks at, from how far in metres, and from where in degrees."""

HEAVY = 1000
"""Triangles from which on a mesh is looked for in the camera's view before it is drawn."""

HIDDEN = 5
"""A group of geometries that MuJoCo does not draw."""

RIG = Embodiment(
    robot="metaworld_sawyer",
    rate=RATE,
    cameras=[Camera("front", height=SIDE, width=SIDE)],
    proprioception=[Channel(name) for name in ("x", "y", "z", "gripper")],
    actions=[Channel(name, bounds=(-1.0, 1.0)) for name in ("dx", "dy", "dz", "gripper")],
)
"""The logs' rig; the logs do not state the bounds of the actions."""

Vector = npt.NDArray[np.float64]


class MetaWorld(gymnasium.Env[Vector, npt.NDArray[np.float32]]):
    """One of the tasks as a Gymnasium environment.

    An observation is the hand's x, y, z in metres and the gripper's opening in [0, 1]. The
    simulator is built, and its graphics context opened, at first use, in the thread that uses it.
    """

    action_space = gymnasium.spaces.Box(-1.0, 1.0, (4,), np.float32)
    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (4,), np.float64)

    def __init__(self, task: str, render_every: int = 1) -> None:
        """Builds nothing yet. Images are rendered every so many steps, and else repeated."""
        self.task = task
        self._render_every = render_every
        self._steps = 0
        self._built: Any = None
        self._renderer: mujoco.Renderer | None = None
        self.full: Vector = np.zeros(39)
        """Meta-World's own observation with the goal, which the scripted experts need."""
        self.shown: npt.NDArray[np.uint8] | None = None
        """The image that `render` gave last."""

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Vector, dict[str, Any]]:
        """Start number `seed` of the task; the same number is the same start, bit for bit.

        `options["start"]` states the positions of the objects instead.
        """
        super().reset(seed=seed)
        self._steps = 0
        start = (options or {}).get("start")
        simulator = self.simulator
        simulator._last_rand_vec = (
            draw_start(self.task, simulator, seed or 0)
            if start is None
            else np.asarray(start, np.float64)
        )
        # What the last trial left must not reach into this one.
        mujoco.mj_resetData(simulator.model, simulator.data)
        self.full, _info = simulator.reset()
        mujoco.mj_forward(simulator.model, simulator.data)
        for name, position in simulator._target_site_config:
            simulator._set_pos_site(name, position)
        return self.full[:4].copy(), {"success": 0.0}

    def step(
        self, action: npt.NDArray[np.float32]
    ) -> tuple[Vector, float, bool, bool, dict[str, Any]]:
        """Holds an action for two simulator steps; success is that of the second."""
        self._steps += 1
        for _ in range(HELD):
            self.full, reward, _end, _cut, info = self.simulator.step(np.asarray(action))
        return self.full[:4].copy(), float(reward), False, False, {"success": info["success"]}

    def render(self) -> npt.NDArray[np.uint8]:
        """What the camera sees: 128 x 128, RGB."""
        if self.shown is not None and self._steps % self._render_every != 0:
            return self.shown
        simulator = self.simulator
        if self._renderer is None:
            # Clearing a larger buffer than is looked at costs time.
            buffer = simulator.model.vis.global_
            buffer.offwidth, buffer.offheight = SIDE, SIDE
            self._renderer = mujoco.Renderer(simulator.model, SIDE, SIDE)
            self._meshes = Meshes(simulator.model)
            self._camera = mujoco.MjvCamera()
            self._camera.type = mujoco.mjtCamera.mjCAMERA_FREE
            self._camera.lookat[:] = LOOKAT
            self._camera.distance = DISTANCE
            self._camera.azimuth, self._camera.elevation = AZIMUTH, ELEVATION
        renderer = self._renderer
        self._meshes.hide_unseen(simulator.model, simulator.data)
        renderer.update_scene(simulator.data, self._camera)
        renderer.scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = 0
        renderer.scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = 0
        self.shown = renderer.render()
        return self.shown

    def close(self) -> None:
        """Frees the graphics context and the simulator."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None
        if self._built is not None:
            self._built.close()
            self._built = None

    @property
    def simulator(self) -> Any:
        """Meta-World's environment, with the goal in its observation."""
        if self._built is None:
            if self.task not in TASKS:
                raise ValueError(f"no task {self.task!r}; there are {sorted(TASKS)}")
            self._built = ALL_V3_ENVIRONMENTS[self.task]()
            self._built._set_task_called = True
            self._built._freeze_rand_vec = True
            self._built._partially_observable = False
            # The cached space is that without the goal.
            self._built.__dict__.pop("sawyer_observation_space", None)
        return self._built


class Meshes:
    """The large meshes of a model. Those that lie outside of the view are not drawn.

    The image is the same without them; rendering in software takes half the time.
    """

    def __init__(self, model: Any) -> None:
        """Finds them."""
        is_mesh = model.geom_type == mujoco.mjtGeom.mjGEOM_MESH
        faces = np.where(is_mesh, model.mesh_facenum[model.geom_dataid], 0)
        self._geoms = np.flatnonzero(faces >= HEAVY)
        self._groups = model.geom_group[self._geoms].copy()
        self._middle, self._half = np.split(model.geom_aabb[self._geoms], 2, axis=1)
        azimuth, elevation = np.deg2rad((AZIMUTH, ELEVATION))
        forward = np.array(
            (np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), 0.0)
        )
        forward[2] = np.sin(elevation)
        right = np.cross(forward, (0.0, 0.0, 1.0))
        right /= np.linalg.norm(right)
        up = np.cross(right, forward)
        half = np.deg2rad(model.vis.global_.fovy) / 2
        inward = [
            np.sin(half) * forward + np.cos(half) * side for side in (right, -right, up, -up)
        ]
        self._inward = np.stack(inward, axis=1)
        self._eye = LOOKAT - DISTANCE * forward

    def hide_unseen(self, model: Any, data: Any) -> None:
        """Hides those whose bounding box lies beyond a side of the view."""
        turned = data.geom_xmat[self._geoms].reshape(-1, 3, 3)
        middle = data.geom_xpos[self._geoms] + np.einsum("gij,gj->gi", turned, self._middle)
        reach = np.einsum("gij,gi->gj", np.abs(turned.transpose(0, 2, 1) @ self._inward), self._half)
        unseen = ((middle - self._eye) @ self._inward < -reach).any(axis=1)
        model.geom_group[self._geoms] = np.where(unseen, HIDDEN, self._groups)


def draw_start(task: str, simulator: Any, index: int) -> Vector:
    """The positions of a task's objects at start `index`, drawn evenly from its reset space."""
    space = simulator._random_reset_space
    random = np.random.default_rng([index, list(TASKS).index(task)])
    while True:
        drawn = random.uniform(space.low, space.high)
        # Six numbers are an object and its goal; Meta-World draws again where they are too near.
        if drawn.size != 6 or np.linalg.norm(drawn[:2] - drawn[3:5]) >= APART:
            return drawn


def reset_to(env: MetaWorld, start: Start) -> tuple[Vector, dict[str, Any]]:
    """Resets to a start that `rehearse` asks for. MuJoCo has no noise of its own to seed."""
    return env.reset(seed=start.index)


def main() -> None:
    """Serves the world until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", default="metaworld", help="the name of the world")
    parser.add_argument(
        "--experts", action="store_true", help="serve the scripted experts from this process too"
    )
    parser.add_argument(
        "--render-every",
        type=int,
        default=1,
        metavar="STEPS",
        help="render images at every so many steps and repeat them between; for results of "
        "policies that execute as many actions of a chunk, not for recordings",
    )
    parser.add_argument(
        "--max-trials", type=int, default=MOST_TRIALS, help="trials that may be open at once"
    )
    parser.add_argument("--listen", action="append", help="zenoh endpoint to listen on")
    parser.add_argument("--connect", action="append", help="zenoh endpoint to connect to")
    options = parser.parse_args()
    rooms: list[MetaWorld] = []

    def make(task: str) -> MetaWorld:
        rooms.append(MetaWorld(task, options.render_every))
        return rooms[-1]

    session = open_session(listen=options.listen, connect=options.connect)
    if options.experts:
        serve_experts(rooms, RIG, session)
        serve_courses(rooms, RIG, session)
    serve_world(
        make,
        name=options.name,
        embodiment=RIG,
        reset=reset_to,
        max_trials=options.max_trials,
        session=session,
    )


if __name__ == "__main__":
    main()
