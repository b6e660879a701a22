"""Times `summarise` beside DuckDB's GROUP BY: the same Parquet file, the same cores.

Needs numpy, pyarrow, duckdb, and the example built:

    cargo build --release -p rehearse-scoring --example summarise
    python scoring/tools/compare_duckdb.py [--rows 10000000] [--threads 2] [--example PATH]

Each program runs in a process of its own, five times in one process; the best and the median
count, reading from the page cache. Prints a Markdown table with the peak memory of each process.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

REPEATS = 5
QUERY = """
SELECT policy, task,
       count(*) FILTER (outcome = 'success') AS success,
       count(*) FILTER (outcome = 'failure') AS failure,
       count(*) FILTER (outcome = 'void') AS void,
       count(*) FILTER (outcome = 'unsure') AS unsure
FROM read_parquet('{path}') GROUP BY policy, task ORDER BY policy, task
"""
SIMPLE = """
SELECT policy, task, outcome, count(*) FROM read_parquet('{path}')
GROUP BY policy, task, outcome ORDER BY policy, task, outcome
"""
DUCKDB = """
import duckdb, json, sys, time
path, threads, query = sys.argv[1], int(sys.argv[2]), sys.argv[3]
con = duckdb.connect()
con.execute(f"SET threads = {threads}")
for _ in range(%d):
    start = time.perf_counter()
    rows = con.execute(query.format(path=path)).fetchall()
    seconds = time.perf_counter() - start
    split = len(rows[0]) == 4
    success = sum(r[3] for r in rows if r[2] == "success") if split else sum(r[2] for r in rows)
    print(json.dumps({"seconds": seconds, "success": success}))
""" % REPEATS


def make(path, rows):
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(0)
    writer = None
    done = 0
    while done < rows:
        n = min(1 << 20, rows - done)
        pick = lambda prefix, count: pa.DictionaryArray.from_arrays(
            pa.array(rng.integers(0, count, n), pa.int32()), pa.array([f"{prefix}-{i}" for i in range(count)])
        ).cast(pa.string())
        outcome = pa.DictionaryArray.from_arrays(
            pa.array(rng.choice(4, n, p=[0.55, 0.4, 0.03, 0.02]), pa.int32()),
            pa.array(["success", "failure", "void", "unsure"]),
        ).cast(pa.string())
        table = pa.table(
            {
                "policy": pick("policy", 50),
                "task": pick("task", 20),
                "scenario": pick("scenario", 500),
                "repeat": pa.array(rng.integers(0, 20, n)),
                "outcome": outcome,
                "length": pa.array(rng.integers(10, 110, n)),
            }
        )
        writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
        writer.write_table(table)
        done += n
    writer.close()


def run(command, environment=None):
    """Seconds of each repeat, the peak memory in MB, and the successes counted."""
    wrapper = (
        "import resource, subprocess, sys\n"
        "out = subprocess.run(sys.argv[1:], check=True, capture_output=True, text=True).stdout\n"
        "print(out, end='')\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n"
    )
    env = dict(os.environ, **(environment or {}))
    out = subprocess.run([sys.executable, "-c", wrapper, *command], check=True, capture_output=True, text=True, env=env)
    *lines, peak = out.stdout.strip().split("\n")
    results = [json.loads(line) for line in lines]
    return [r["seconds"] for r in results], int(peak) / 1024, results[0]["success"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--threads", type=int, default=2)
    target = os.environ.get("CARGO_TARGET_DIR", "target")
    parser.add_argument("--example", default=f"{target}/release/examples/summarise")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "trials.parquet")
        make(path, arguments.rows)
        threads = str(arguments.threads)
        programs = {
            "summarise": run([arguments.example, path, str(REPEATS)], {"RAYON_NUM_THREADS": threads}),
            "DuckDB, counts by FILTER": run([sys.executable, "-c", DUCKDB, path, threads, QUERY]),
            "DuckDB, GROUP BY outcome too": run([sys.executable, "-c", DUCKDB, path, threads, SIMPLE]),
        }
        size = os.path.getsize(path) / 1e6
    assert len({success for _, _, success in programs.values()}) == 1, "counts differ"
    print(f"{arguments.rows:,} rows, {size:.0f} MB of Parquet, {threads} threads\n")
    print("| program | best s | median s | peak memory, MB |\n|---|---:|---:|---:|")
    for name, (seconds, peak, _) in programs.items():
        print(f"| {name} | {min(seconds):.3f} | {statistics.median(seconds):.3f} | {peak:.0f} |")


main()
