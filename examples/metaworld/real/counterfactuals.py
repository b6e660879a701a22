"""What eight different courses of action lead to, from the same starts.

From every start: the expert's actions and seven departures from them, all executed open loop.
Written as one compressed `.npz`, arrays of start x course x step:

    task      (n,)                index into `tasks`
    index     (n,)                number of the start
    first     (n, 128, 128, 3)    u8, the start's frame
    actions   (n, 8, t, 4)        f32
    states    (n, 8, t + 1, 4)    f32, `states[..., 0, :]` is the start's
    success   (n, 8, t)           bool, after each action
    frames    (n, 8, t / 8, 64, 64, 3)  u8, after every eighth action (with --frames)
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from world import TASKS, MetaWorld  # isort: skip  # it chooses the graphics
from experts import Behaviour, Expert

COURSES = ("expert", "half", "still", "mirrored", "reversed", "late", "noisy", "random")
"""Half: the hand's motion halved. Mirrored: dx negated. Late: eight steps of waiting first."""

EVERY = 8
"""Steps between the frames that are kept."""

Actions = npt.NDArray[np.float32]


def courses(expert: Actions, random: np.random.Generator) -> Actions:
    """The eight courses, (8, t, 4), that depart from the expert's actions (t, 4)."""
    half = expert * np.float32([0.5, 0.5, 0.5, 1])
    mirrored = expert * np.float32([-1, 1, 1, 1])
    late = np.concatenate([np.zeros_like(expert[:EVERY]), expert[:-EVERY]])
    noisy = expert + random.normal(0, 0.6, expert.shape)
    drawn = random.uniform(-1, 1, expert.shape)
    every = [expert, half, np.zeros_like(expert), mirrored, expert[::-1], late, noisy, drawn]
    return np.clip(np.stack(every), -1, 1).astype(np.float32)


def expert_actions(env: MetaWorld, index: int, steps: int) -> Actions:
    """What the expert does from a start."""
    env.reset(seed=index)
    expert = Expert([env], Behaviour())
    actions = []
    for _ in range(steps):
        actions.append(expert.act(env))
        env.step(actions[-1])
    return np.stack(actions)


def execute(
    env: MetaWorld, index: int, actions: Actions, *, keep_frames: bool
) -> dict[str, npt.NDArray[Any]]:
    """Executes one course from a start; frames only if they are to be kept."""
    state, _info = env.reset(seed=index)
    states, success, frames = [state], [], []
    for step, action in enumerate(actions, start=1):
        state, _reward, _end, _cut, info = env.step(action)
        states.append(state)
        success.append(bool(info["success"]))
        if keep_frames and step % EVERY == 0:
            frames.append(halve(env.render()))
    return {
        "states": np.asarray(states, np.float32),
        "success": np.asarray(success),
        "frames": np.asarray(frames, np.uint8),
    }


def halve(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The mean of every 2 x 2 pixels, rounded."""
    height, width, _ = image.shape
    blocks = image.reshape(height // 2, 2, width // 2, 2, 3).astype(np.uint16)
    return ((blocks.sum((1, 3)) + 2) // 4).astype(np.uint8)


def main() -> None:
    """Executes and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("out", type=Path)
    parser.add_argument("--starts", type=int, default=10, help="starts of each task")
    parser.add_argument("--first-start", type=int, default=2000)
    parser.add_argument("--steps", type=int, default=64, help="a multiple of 8")
    parser.add_argument("--frames", action="store_true", help="keep the frames too")
    options = parser.parse_args()
    if options.steps % EVERY or options.steps < 2 * EVERY:
        parser.error("--steps must be a multiple of 8, and at least 16")
    rows: dict[str, list[Any]] = {name: [] for name in ("task", "index", "first", "actions")}
    rows |= {"states": [], "success": [], "frames": []}
    for number, task in enumerate(TASKS):
        env = MetaWorld(task)
        for index in range(options.first_start, options.first_start + options.starts):
            expert = expert_actions(env, index, options.steps)
            actions = courses(expert, np.random.default_rng([index, number]))
            env.reset(seed=index)
            rows["first"].append(env.render())
            ran = [execute(env, index, course, keep_frames=options.frames) for course in actions]
            rows["task"].append(number)
            rows["index"].append(index)
            rows["actions"].append(actions)
            for name in ("states", "success", "frames"):
                rows[name].append(np.stack([each[name] for each in ran]))
        env.close()
    if not options.frames:
        del rows["frames"]
    arrays = {name: np.stack(values) for name, values in rows.items()}
    np.savez_compressed(
        options.out, tasks=np.array(list(TASKS)), courses=np.array(COURSES), **arrays
    )


if __name__ == "__main__":
    main()
