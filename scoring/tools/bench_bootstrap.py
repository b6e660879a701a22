"""10,000-resample BCa of 50 policies x 20 tasks x 50 trials: SciPy and this crate side by side.

    cargo build --release -p rehearse-scoring --example bench_bootstrap
    python scoring/tools/bench_bootstrap.py target/release/examples/bench_bootstrap

Both make one interval per policy: the mean over tasks of success rates, trials drawn anew within
each task. Both use all cores: this crate by itself, SciPy in one process per core. The fastest of
three runs counts. Writes a Markdown table to standard output.
"""

import json
import multiprocessing
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np
import scipy
from scipy import stats

POLICIES, TASKS, TRIALS, RESAMPLES, RUNS = 50, 20, 50, 10_000, 3


def mean_of_means(*samples, axis=-1):
    return sum(np.mean(sample, axis=axis) for sample in samples) / len(samples)


def interval(samples):
    result = stats.bootstrap(
        tuple(samples),
        mean_of_means,
        n_resamples=RESAMPLES,
        method="BCa",
        vectorized=True,
        rng=np.random.default_rng(1),
    )
    return list(result.confidence_interval)


def with_scipy(outcomes):
    best = float("inf")
    with multiprocessing.Pool(len(os.sched_getaffinity(0))) as pool:
        for _ in range(RUNS):
            start = time.perf_counter()
            ends = pool.map(interval, outcomes, chunksize=1)
            best = min(best, time.perf_counter() - start)
    return best, np.array(ends)


def with_crate(program, outcomes):
    with tempfile.TemporaryDirectory() as folder:
        table = pathlib.Path(folder) / "trials.csv"
        with table.open("w") as rows:
            rows.write("policy,task,success\n")
            for policy, tasks in enumerate(outcomes):
                for task, values in enumerate(tasks):
                    rows.writelines(f"p{policy:02},t{task:02},{v:.17g}\n" for v in values)
        out = subprocess.run(
            [program, str(table), str(RESAMPLES)], check=True, capture_output=True, text=True
        )
    return json.loads(out.stdout)


def main():
    program = sys.argv[1]
    rng = np.random.default_rng(7)
    rates = np.clip(rng.normal(0.5, 0.2, (POLICIES, TASKS, 1)), 0.05, 0.95)
    successes = (rng.random((POLICIES, TASKS, TRIALS)) < rates).astype(float)
    quarters = rng.binomial(4, np.broadcast_to(rates, successes.shape)) / 4
    credits = rng.beta(4 * rates, 4 * (1 - rates), (POLICIES, TASKS, TRIALS))
    cores = len(os.sched_getaffinity(0))
    print(f"{POLICIES} policies x {TASKS} tasks x {TRIALS} trials, {RESAMPLES} resamples, BCa, ")
    print(f"{cores} cores, SciPy {scipy.__version__}, NumPy {np.__version__}\n")
    print("| outcomes | SciPy, s | here, s | times as fast | any statistic of indices, s | "
          "largest difference of ends |")
    print("|---|---:|---:|---:|---:|---:|")
    kinds = {
        "success or failure": successes,
        "credit in quarters": quarters,
        "any credit": credits,
    }
    for name, outcomes in kinds.items():
        seconds, ends = with_scipy(outcomes)
        here = with_crate(program, outcomes)
        gap = np.abs(ends - np.array(here["ends"])).max()
        print(
            f"| {name} | {seconds:.2f} | {here['seconds']:.4f} | {seconds / here['seconds']:.0f} | "
            f"{here['general_seconds']:.2f} | {gap:.4f} |"
        )


if __name__ == "__main__":
    main()
