"""Correlations of random and awkward columns by SciPy, for the parity test.

    python scoring/tools/gen_correlation.py

writes scoring/tests/fixtures/correlation.json. Columns have ties (rates of few trials), n = 2 and
3, constants and large offsets; a coefficient that SciPy leaves undefined is null.
"""

import json
import pathlib
import warnings

import numpy as np
import scipy
from scipy import stats

OUT = pathlib.Path(__file__).parent.parent / "tests" / "fixtures" / "correlation.json"


def coefficient(function, real, imagined):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        value = float(function(real, imagined)[0])
    return None if np.isnan(value) else value


def permutation_p(real, imagined):
    """One-sided exact p of Pearson's r, by SciPy's permutation test."""
    result = stats.permutation_test(
        (real,),
        lambda x: stats.pearsonr(x, imagined).statistic,
        permutation_type="pairings",
        alternative="greater",
        n_resamples=np.inf,
    )
    return float(result.pvalue)


def fisher(real, imagined):
    interval = stats.pearsonr(real, imagined).confidence_interval(0.95)
    return [float(interval.low), float(interval.high)]


def columns(rng):
    for index in range(320):
        n = [2, 3, 4, 5, 6, 8, 12, 25][index % 8]
        kind = (index // 8) % 5
        if kind == 0:
            real, imagined = rng.random(n), rng.random(n)
        elif kind == 1:
            real, imagined = rng.integers(0, 6, n) / 5, rng.integers(0, 6, n) / 5
        elif kind == 2:
            real = rng.integers(0, 3, n) / 2
            imagined = np.clip(real + rng.integers(-1, 2, n) / 4, 0, 1)
        elif kind == 3:
            real = rng.random(n)
            imagined = np.round(real + 0.01 * rng.random(n), 3)
        else:
            real = np.full(n, 0.3) if index % 2 else 1e6 + rng.random(n)
            imagined = rng.random(n)
        yield np.round(real, 6), np.round(imagined, 6)


def main():
    rng = np.random.default_rng(20260821)
    cases = []
    for index, (real, imagined) in enumerate(columns(rng)):
        pearson = coefficient(stats.pearsonr, real, imagined)
        case = {
            "real": real.tolist(),
            "imagined": imagined.tolist(),
            "pearson": pearson,
            "spearman": coefficient(stats.spearmanr, real, imagined),
            "kendall": coefficient(stats.kendalltau, real, imagined),
        }
        if pearson is not None and abs(pearson) < 1 - 1e-9 and len(real) > 3:
            case["fisher"] = fisher(real, imagined)
        if pearson is not None and 3 <= len(real) <= 6 and index % 3 == 0:
            case["permutation_p"] = permutation_p(real, imagined)
        cases.append(case)
    made_with = f"scipy {scipy.__version__}, numpy {np.__version__}"
    OUT.write_text(json.dumps({"made_with": made_with, "cases": cases}, separators=(",", ":")))


if __name__ == "__main__":
    main()
