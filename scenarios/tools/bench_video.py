#!/usr/bin/env python3
"""Decodes a video with `examples/decode.rs` and with PyAV in turn, and prints times and their ratio.

    cargo build --release -p rehearse-scenarios --example decode
    python3 bench_video.py --decode target/release/examples/decode FILE

Both sides turn every frame into RGB and drop it. PyAV decodes with thread_type AUTO. They run in
turn, `--rounds` times each, so that a noisy machine is noisy for both; the medians are compared.
Also measured: 1,000 frames at random, and the peak memory of decoding the file and of decoding it
`--repeat` times over (joined without encoding anew). Needs av (PyAV).
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av


def run(command):
    """Runs a command; returns (seconds that it printed, peak memory in MB)."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{command} failed")
    seconds = re.search(r"in ([0-9.]+) s", output)
    return float(seconds.group(1)), usage.ru_maxrss / 1024


def pyav(path):
    start = time.perf_counter()
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        for frame in container.decode(stream):
            frame.to_ndarray(format="rgb24")
    return time.perf_counter() - start


def join(path, times, out):
    """Writes the packets of `path` `times` times over into `out`."""
    with av.open(str(path)) as source, av.open(str(out), "w") as target:
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream, opaque=True)
        copy.time_base = stream.time_base
        length = stream.duration
        for turn in range(times):
            source.seek(0)
            for packet in source.demux(stream):
                if packet.dts is None:
                    continue
                packet.dts += turn * length
                packet.pts += turn * length
                packet.stream = copy
                target.mux(packet)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--decode", required=True, help="the built example")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeat", type=int, default=10)
    parser.add_argument("path", type=Path)
    arguments = parser.parse_args()
    path, decode = arguments.path, arguments.decode

    ours, theirs, memory = [], [], 0.0
    for _ in range(arguments.rounds):
        seconds, memory = run([decode, "all", path])
        ours.append(seconds)
        theirs.append(pyav(path))
    mine, other = statistics.median(ours), statistics.median(theirs)
    print(f"sequential: rehearse {mine:.2f} s {sorted(ours)}, PyAV {other:.2f} s "
          f"{[round(t, 2) for t in sorted(theirs)]}, PyAV / rehearse = {other / mine:.2f}")
    seconds, _ = run([decode, "random", "1000", path])
    print(f"random: 1000 frames in {seconds:.2f} s")
    print(f"peak memory: {memory:.0f} MB")
    if arguments.repeat > 1:
        with tempfile.TemporaryDirectory() as folder:
            joined = Path(folder) / "joined.mp4"
            join(path, arguments.repeat, joined)
            size = joined.stat().st_size / 1e6
            _, memory = run([decode, "all", joined])
            print(f"peak memory, {arguments.repeat} times as long ({size:.0f} MB): {memory:.0f} MB")


if __name__ == "__main__":
    main()
