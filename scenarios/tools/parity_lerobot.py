"""Loads a dataset that rehearse wrote in the official lerobot, and compares every item.

    pip install lerobot==0.4.4
    rewrite_log write ORIGINAL WRITTEN
    python parity_lerobot.py ORIGINAL WRITTEN REWRITE_LOG

ORIGINAL is the dataset that was rewritten; its tables are read with pyarrow and are the truth for
states, actions, tasks and indices. REWRITE_LOG is the built example of that name: it streams the
pictures of WRITTEN as rehearse decodes them, which must be within one grey level (mean absolute
error) of what lerobot decodes of the same file. Exits with 1 at the first difference.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("HF_HOME", tempfile.mkdtemp(prefix="parity-hf-"))

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402
from lerobot.datasets.lerobot_dataset import LeRobotDataset  # noqa: E402

MAX_GREY_LEVELS = 1.0
# Encoding again costs quality; a picture of another moment or camera is further off than this.
MAX_GREY_LEVELS_TO_ORIGINAL = 6.0


def fail(message):
    print(f"DIFFERENT: {message}")
    sys.exit(1)


def tables(root):
    files = sorted(Path(root, "data").glob("*/*.parquet"))
    return pd.concat([pq.read_table(file).to_pandas() for file in files], ignore_index=True)


def pixels(item, camera):
    return (item[camera].numpy() * 255.0).round().transpose(1, 2, 0)


def main():
    original, written, rewrite_log = sys.argv[1:]
    truth = tables(original)
    tasks = pd.read_parquet(Path(original, "meta/tasks.parquet"))
    task_of = {row.task_index: task for task, row in tasks.iterrows()}
    dataset = LeRobotDataset("local/written", root=written, video_backend="pyav")
    before = LeRobotDataset("local/original", root=original, video_backend="pyav")
    cameras = dataset.meta.camera_keys
    if len(dataset) != len(truth) or cameras != before.meta.camera_keys:
        fail(f"{len(dataset)} frames of {cameras}, expected {len(truth)} of {before.meta.camera_keys}")
    if dataset.meta.fps != before.meta.fps or dataset.meta.robot_type != before.meta.robot_type:
        fail("rate or robot type")
    stream = subprocess.Popen([rewrite_log, "frames", written], stdout=subprocess.PIPE)
    worst, worst_to_original = 0.0, 0.0
    episodes = dataset.meta.episodes
    for episode in range(dataset.num_episodes):
        start, end = episodes[episode]["dataset_from_index"], episodes[episode]["dataset_to_index"]
        items = [dataset[index] for index in range(start, end)]
        for index, item in zip(range(start, end), items):
            row = truth.iloc[index]
            if item["task"] != task_of[row["task_index"]]:
                fail(f"task of frame {index}: {item['task']!r}")
            for column in truth.columns:
                if column in ("task_index", "timestamp"):
                    continue  # tasks may be numbered anew; the times are compared below
                got, expected = item[column].numpy(), np.asarray(row[column])
                if not np.array_equal(got.reshape(-1), expected.reshape(-1)):
                    fail(f"{column} of frame {index}: {got} is not {expected}")
            if abs(float(item["timestamp"]) - float(row["timestamp"])) > 1e-6:
                fail(f"timestamp of frame {index}")
        for camera in cameras:
            for index, item in zip(range(start, end), items):
                theirs = pixels(item, camera)
                ours = np.frombuffer(stream.stdout.read(theirs.size), np.uint8)
                error = np.abs(ours.reshape(theirs.shape) - theirs).mean()
                worst = max(worst, error)
                if error > MAX_GREY_LEVELS:
                    fail(f"{camera} of frame {index}: {error:.3f} grey levels between the decoders")
                if index in (start, end - 1) or index % 10 == 0:
                    off = np.abs(theirs - pixels(before[index], camera)).mean()
                    worst_to_original = max(worst_to_original, off)
                    if off > MAX_GREY_LEVELS_TO_ORIGINAL:
                        fail(f"{camera} of frame {index}: {off:.3f} grey levels from the original")
    if stream.stdout.read(1) or stream.wait() != 0:
        fail("rehearse streams more frames than lerobot, or failed")
    print(
        f"EQUAL: {dataset.num_episodes} episodes, {len(dataset)} frames, {len(cameras)} cameras; "
        f"tasks, states, actions and all other columns equal; frames at most {worst:.3f} grey levels "
        f"from lerobot's decoder, at most {worst_to_original:.3f} from the original's"
    )


if __name__ == "__main__":
    main()
