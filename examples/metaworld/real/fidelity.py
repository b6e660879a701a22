"""How faithful this world is to the one that the logs were recorded in.

Expert episodes of the logs have no noise, so their actions tell where the objects stood: the start
is fitted until the script, run here, does what it did there. Then the logged actions are replayed
open loop from that start, and states, success and images are compared.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
from scipy.optimize import least_squares

from world import RATE, TASKS, MetaWorld, draw_start  # isort: skip  # it chooses the graphics
from experts import SCRIPTS

Floats = npt.NDArray[np.float64]


def main() -> None:
    """Prints a row per episode as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("logs", type=Path)
    parser.add_argument("--episodes", type=int, default=2, help="episodes of each task")
    parser.add_argument("--task", action="append", choices=TASKS, help="these tasks alone")
    options = parser.parse_args()
    with (options.logs / "meta/trials.csv").open() as file:
        trials = list(csv.DictReader(file))
    for task in options.task or TASKS:
        env = MetaWorld(task)
        expert = [row for row in trials if row["task"] == task and row["policy"] == "expert"]
        for row in expert[: options.episodes]:
            print(json.dumps(compare(env, options.logs, int(row["episode_index"]))), flush=True)
        env.close()


def compare(env: MetaWorld, logs: Path, episode: int) -> dict[str, Any]:
    """Fits the start of an episode, replays its actions and measures."""
    actions, states, success = read_episode(logs, episode)
    frames = read_frames(logs, episode, len(actions))
    start, misfit = fit_start(env, actions)
    first, _info = env.reset(options={"start": start})
    reached, seen, ours = [first], [env.render()], []
    for action in actions:
        state, _reward, _end, _cut, info = env.step(action)
        reached.append(state)
        seen.append(env.render())
        ours.append(bool(info["success"]))
    apart = np.linalg.norm(np.asarray(reached[:-1])[:, :3] - states[:, :3], axis=1)
    ratios = [psnr(mine, theirs) for mine, theirs in zip(seen, frames, strict=False)]
    return {
        "task": env.task,
        "episode": episode,
        "start": np.round(start, 5).tolist(),
        "action_misfit": float(f"{misfit:.2g}"),
        "state_mm_median": float(f"{1e3 * np.median(apart):.3g}"),
        "state_mm_max": float(f"{1e3 * apart.max():.3g}"),
        "success_flags_equal": float(np.mean(np.asarray(ours) == success)),
        "first_success": [first_true(ours), first_true(success)],
        "psnr_first": round(ratios[0], 2),
        "psnr_mean": round(float(np.mean(ratios)), 2),
        "psnr_min": round(min(ratios), 2),
    }


def fit_start(env: MetaWorld, actions: Floats) -> tuple[Floats, float]:
    """The start from which the script acts as logged, and the RMS by which its actions differ."""
    space = env.simulator._random_reset_space
    low, wide = space.low, space.high - space.low
    free = np.flatnonzero(wide > 1e-9)
    script = SCRIPTS[env.task]()

    def place(unit: Floats) -> Floats:
        start = low.copy()
        start[free] += unit * wide[free]
        return start

    def residual(unit: Floats, count: int) -> Floats:
        env.reset(options={"start": place(unit)})
        differences = []
        for action in actions[:count]:
            wanted = np.asarray(script.get_action(env.full), np.float64)
            # Where the log's action was clipped, the script's need only lie beyond.
            clipped = np.abs(action) >= 1.0
            beyond = np.minimum(wanted * np.sign(action) - 1.0, 0.0)
            differences.append(np.where(clipped, beyond, wanted - action))
            env.step(action)
        return np.concatenate(differences)

    def fit(unit: Floats, count: int) -> Any:
        return least_squares(
            residual, unit, bounds=(-1e-6, 1 + 1e-6), diff_step=1e-4, max_nfev=15, args=(count,)
        )

    # The first actions tell of the object, and all of them of the goal too. Contact makes local
    # minima, so the whole is fitted from the best of several guesses.
    drawn = [draw_start(env.task, env.simulator, index) for index in range(6)]
    guesses = [np.clip((each - low)[free] / wide[free], 0.01, 0.99) for each in drawn]
    guesses += [np.clip(fit(guess, 10).x, 0.0, 1.0) for guess in guesses[:2]]
    best = min(guesses, key=lambda guess: float(np.sum(residual(guess, len(actions)) ** 2)))
    found = fit(best, len(actions))
    return place(found.x), float(np.sqrt(np.mean(found.fun**2)))


def read_episode(logs: Path, episode: int) -> tuple[Floats, Floats, npt.NDArray[np.bool_]]:
    """Actions (n, 4), states (n, 4) and success (n) of an episode."""
    table = pq.read_table(logs / "data", filters=[("episode_index", "=", episode)]).sort_by(
        "frame_index"
    )
    return (
        np.stack(table["action"].to_pylist()).astype(np.float64),
        np.stack(table["observation.state"].to_pylist()).astype(np.float64),
        np.asarray(table["next.success"].to_pylist(), dtype=bool).ravel(),
    )


def read_frames(logs: Path, episode: int, count: int) -> list[npt.NDArray[np.uint8]]:
    """The frames of an episode; all episodes lie in the video that the metadata name."""
    key = "videos/observation.images.front"
    rows = pq.read_table(
        logs / "meta/episodes", filters=[("episode_index", "=", episode)]
    ).to_pylist()
    chunk, file = rows[0][f"{key}/chunk_index"], rows[0][f"{key}/file_index"]
    begin = round(rows[0][f"{key}/from_timestamp"] * RATE)
    frames: list[npt.NDArray[np.uint8]] = []
    with av.open(str(logs / key / f"chunk-{chunk:03d}/file-{file:03d}.mp4")) as video:
        stream = video.streams.video[0]
        video.seek(round(begin / RATE / stream.time_base), stream=stream)
        for frame in video.decode(stream):
            if round(float(frame.pts * stream.time_base) * RATE) >= begin:
                frames.append(frame.to_ndarray(format="rgb24"))
            if len(frames) == count:
                break
    return frames


def first_true(flags: Any) -> int | None:
    """Index of the first flag that is set."""
    found = np.flatnonzero(flags)
    return int(found[0]) if len(found) else None


def psnr(one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> float:
    """Peak signal-to-noise ratio in decibels of two images."""
    error = np.mean((one.astype(np.float64) - other.astype(np.float64)) ** 2)
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


if __name__ == "__main__":
    main()
