"""Bootstrap intervals by SciPy, with the resamples that they were read off.

    python scoring/tools/gen_bootstrap.py

writes scoring/tests/fixtures/bootstrap.json. Given SciPy's own resamples and the data, the ends
must follow exactly; with resamples of its own an engine can only come near them.
"""

import json
import pathlib

import numpy as np
import scipy
from scipy import stats

OUT = pathlib.Path(__file__).parent.parent / "tests" / "fixtures" / "bootstrap.json"


def mean_of_means(*samples, axis=-1):
    return sum(np.mean(sample, axis=axis) for sample in samples) / len(samples)


def variance(sample, axis=-1):
    return np.var(sample, axis=axis)


def main():
    rng = np.random.default_rng(20260822)
    cases = []
    for index in range(40):
        strata = 1 + index % 3
        sizes = rng.integers(12, 30, strata)
        samples = tuple(
            np.round(rng.beta(2, 3, n), 10) if index % 2 else (rng.random(n) < 0.4).astype(float)
            for n in sizes
        )
        if any(np.ptp(sample) == 0 for sample in samples):
            continue
        statistic = variance if strata == 1 and index % 4 == 3 else mean_of_means
        case = {
            "samples": [sample.tolist() for sample in samples],
            "statistic": statistic.__name__,
            "level": 0.95 if index % 3 else 0.8,
        }
        for method in ["percentile", "basic", "BCa"]:
            result = stats.bootstrap(
                samples,
                statistic,
                n_resamples=199,
                method=method,
                confidence_level=case["level"],
                vectorized=True,
                rng=np.random.default_rng(index),
            )
            interval = result.confidence_interval
            case[method] = [float(interval.low), float(interval.high)]
        case["resamples"] = [float(f"{v:.15g}") for v in result.bootstrap_distribution]
        case["estimate"] = float(statistic(*samples))
        cases.append(case)
    made_with = f"scipy {scipy.__version__}, numpy {np.__version__}"
    OUT.write_text(json.dumps({"made_with": made_with, "cases": cases}, separators=(",", ":")))


if __name__ == "__main__":
    main()
