"""Writes the fixtures of the robot log tests:

    pip install pyarrow numpy av
    python scenarios/tools/gen_log.py FOLDER_OF_DATASETS

- `tests/fixtures/logs/expected.json`: what pyarrow reads of the datasets `metaworld`, `droid` and
  `tiny_v30`: counts, tasks, results, and per episode a digest of the bits of all states and actions.
- `tests/fixtures/logs/tiny_v30`: a copy of that dataset, which lerobot 0.4.4 wrote.
- `tests/fixtures/logs/tiny_v21`: the same episodes as lerobot 0.3.3 lays them out (v2.1); the videos
  are cut without encoding them again.
"""

import csv
import json
import shutil
import sys
from pathlib import Path

import av
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

FIXTURES = Path(__file__).parent.parent / "tests/fixtures/logs"


def digest(values):
    """Sum over i of (i + 1) times the bits of the i-th float32, modulo 2^64."""
    bits = np.ascontiguousarray(values, np.float32).reshape(-1).view(np.uint32).astype(np.uint64)
    with np.errstate(over="ignore"):
        return str((bits * np.arange(1, len(bits) + 1, dtype=np.uint64)).sum(dtype=np.uint64))


def read(root):
    table = pa.concat_tables([pq.read_table(file) for file in sorted(root.glob("data/*/*.parquet"))])
    meta = [pq.read_table(file) for file in sorted(root.glob("meta/episodes/*/*.parquet"))]
    return table, pa.concat_tables(meta).to_pylist()


def expected(root):
    table, episodes = read(root)
    tasks = pd.read_parquet(root / "meta/tasks.parquet").sort_values("task_index")
    state = np.stack(table["observation.state"].to_numpy(zero_copy_only=False))
    action = np.stack(table["action"].to_numpy(zero_copy_only=False))
    index = table["episode_index"].to_numpy()
    rows = []
    for episode in episodes:
        of_episode = index == episode["episode_index"]
        row = {
            "length": int(of_episode.sum()),
            "tasks": episode["tasks"],
            "state": digest(state[of_episode]),
            "action": digest(action[of_episode]),
        }
        if "next.success" in table.column_names:
            row["success_frames"] = int(table["next.success"].to_numpy()[of_episode].sum())
        if "next.reward" in table.column_names:
            row["reward"] = digest(table["next.reward"].to_numpy()[of_episode])
        rows.append(row)
    result = {"frames": table.num_rows, "tasks": list(tasks.index), "episodes": rows}
    trials = root / "meta/trials.csv"
    if trials.exists():
        results = {}
        for row in csv.DictReader(trials.open()):
            count = results.setdefault(f"{row['policy']}/{row['task']}", [0, 0])
            count[0] += 1
            count[1] += int(row["success"])
        result["results"] = dict(sorted(results.items()))
    return result


def cut(source, target, first, count):
    """Copies `count` frames from frame `first` on, which must be a key frame."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(source)) as reader, av.open(str(target), "w") as writer:
        stream = reader.streams.video[0]
        copy = writer.add_stream_from_template(stream, opaque=True)
        packets = [packet for packet in reader.demux(stream) if packet.dts is not None]
        start = packets[first]
        assert start.is_keyframe, f"frame {first} is no key frame"
        offset = start.pts
        for packet in packets[first : first + count]:
            packet.pts -= offset
            packet.dts -= offset
            packet.stream = copy
            writer.mux(packet)


def write_v21(source, target):
    info = json.loads((source / "meta/info.json").read_text())
    table, episodes = read(source)
    tasks = pd.read_parquet(source / "meta/tasks.parquet").sort_values("task_index")
    shutil.rmtree(target, ignore_errors=True)
    (target / "meta").mkdir(parents=True)
    videos = [key for key, feature in info["features"].items() if feature["dtype"] == "video"]
    for key in ("data_files_size_in_mb", "video_files_size_in_mb"):
        del info[key]
    info |= {
        "codebase_version": "v2.1",
        "total_videos": len(episodes) * len(videos),
        "total_chunks": 1,
        "data_path": "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
        "video_path": "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4",
    }
    (target / "meta/info.json").write_text(json.dumps(info, indent=4))
    lines = lambda rows: "".join(json.dumps(row) + "\n" for row in rows)  # noqa: E731
    (target / "meta/tasks.jsonl").write_text(
        lines({"task_index": index, "task": task} for index, task in enumerate(tasks.index))
    )
    (target / "meta/episodes.jsonl").write_text(
        lines({key: episode[key] for key in ("episode_index", "tasks", "length")} for episode in episodes)
    )
    names = ("min", "max", "mean", "std", "count")
    features = [key for key in info["features"] if f"stats/{key}/min" in episodes[0]]
    (target / "meta/episodes_stats.jsonl").write_text(
        lines(
            {
                "episode_index": episode["episode_index"],
                "stats": {
                    key: {name: episode[f"stats/{key}/{name}"] for name in names} for key in features
                },
            }
            for episode in episodes
        )
    )
    lists = {
        name: pa.list_(pa.float32()) for name in ("observation.state", "action")
    }  # v2.1 has lists of any length
    schema = pa.schema([pa.field(f.name, lists.get(f.name, f.type)) for f in table.schema])
    for episode in episodes:
        index = episode["episode_index"]
        rows = table.slice(episode["dataset_from_index"], episode["length"]).cast(schema)
        file = target / f"data/chunk-000/episode_{index:06d}.parquet"
        file.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(rows, file)
        for key in videos:
            first = round(episode[f"videos/{key}/from_timestamp"] * info["fps"])
            path = source / info_path(source, key, episode)
            cut(path, target / f"videos/chunk-000/{key}/episode_{index:06d}.mp4", first, episode["length"])


def info_path(source, key, episode):
    template = json.loads((source / "meta/info.json").read_text())["video_path"]
    return template.format(
        video_key=key,
        chunk_index=episode[f"videos/{key}/chunk_index"],
        file_index=episode[f"videos/{key}/file_index"],
    )


def main():
    datasets = Path(sys.argv[1])
    FIXTURES.mkdir(parents=True, exist_ok=True)
    everything = {name: expected(datasets / name) for name in ("tiny_v30", "droid", "metaworld")}
    rows = ",\n".join(
        f"{json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}" for name, value in everything.items()
    )
    (FIXTURES / "expected.json").write_text("{\n" + rows + "\n}\n")
    shutil.rmtree(FIXTURES / "tiny_v30", ignore_errors=True)
    shutil.copytree(datasets / "tiny_v30", FIXTURES / "tiny_v30", copy_function=shutil.copyfile)
    write_v21(datasets / "tiny_v30", FIXTURES / "tiny_v21")


if __name__ == "__main__":
    main()
