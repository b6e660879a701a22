#!/usr/bin/env python3
"""Compares every frame of videos, as `examples/decode.rs` decodes it, with what PyAV decodes.

    cargo build --release -p rehearse-scenarios --example decode
    python3 check_video.py --decode target/release/examples/decode FILE_OR_FOLDER...

Prints, per file, the number of frames, how many are equal bit by bit, and the largest mean absolute
error of a frame in grey levels. Exits with 1 if that is above 1 anywhere, or if counts differ.
Needs av (PyAV) and numpy.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import av
import numpy as np


def check(decode, path):
    """Returns (frames of PyAV, frames equal, largest mean absolute error, difference in count)."""
    process = subprocess.Popen([decode, "raw", path], stdout=subprocess.PIPE, bufsize=1 << 20)
    frames = equal = missing = 0
    worst = 0.0
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        for frame in container.decode(stream):
            expected = frame.to_ndarray(format="rgb24")
            raw = process.stdout.read(expected.size)
            frames += 1
            if len(raw) < expected.size:
                missing += 1
                continue
            got = np.frombuffer(raw, np.uint8).reshape(expected.shape)
            if np.array_equal(got, expected):
                equal += 1
            else:
                error = np.abs(got.astype(np.int16) - expected.astype(np.int16)).mean()
                worst = max(worst, float(error))
    missing -= len(process.stdout.read())
    return frames, equal, worst, missing if process.wait() == 0 else frames


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--decode", required=True, help="the built example")
    parser.add_argument("paths", nargs="+", type=Path)
    arguments = parser.parse_args()
    files = [f for path in arguments.paths
             for f in (sorted(path.rglob("*.mp4")) if path.is_dir() else [path])]
    good = bool(files)
    for path in files:
        frames, equal, worst, missing = check(arguments.decode, path)
        good &= worst <= 1.0 and missing == 0
        print(f"{path}: {frames} frames, {equal} equal, largest mean error {worst:.4f}"
              + (f", counts differ by {missing}" if missing else ""))
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
