"""Writes tests/fixtures/compare.json: tests of two policies, and what they rest on.

- Fisher: SciPy. McNemar: statsmodels. Mid-p: its definition, from SciPy's binomial.
- Boschloo, Barnard: SciPy's p, and a reference of the same definition whose nuisance rate is
  searched on 4,001 points and refined, because SciPy's optimiser may miss the highest peak.
- Newcombe: statsmodels. Score statistics of a difference (Farrington-Manning, Tango): their
  definition, the constrained maximum likelihood found numerically by SciPy. statsmodels' own
  score test has `count0 * diff` in the cubic's linear coefficient where Miettinen and Nurminen have
  `nobs0 * diff`, and is not used.
- Holm, Benjamini-Hochberg, power of the z test: statsmodels.

Needs numpy, scipy, statsmodels; takes about two minutes.

    python scoring/tools/gen_compare.py
"""

import json
from pathlib import Path

import numpy as np
from scipy import optimize, stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import confint_proportions_2indep, power_proportions_2indep

rng = np.random.default_rng(11)


def worst(region, n, m):
    """The largest probability of a region of tables over the shared rate."""
    xs, ys = np.arange(n + 1), np.arange(m + 1)

    def probability(rate):
        return float(stats.binom.pmf(xs, n, rate) @ region @ stats.binom.pmf(ys, m, rate))

    grid = np.sin(np.linspace(0, np.pi / 2, 4001)) ** 2
    a = stats.binom.pmf(xs[None, :], n, grid[:, None])
    b = stats.binom.pmf(ys[None, :], m, grid[:, None])
    values = np.einsum("gx,xy,gy->g", a, region.astype(float), b, optimize=True)
    best = values.max()
    for i in np.argsort(values)[-3:]:
        low, high = grid[max(i - 1, 0)], grid[min(i + 1, len(grid) - 1)]
        found = optimize.minimize_scalar(
            lambda r: -probability(r), bounds=(low, high), method="bounded", options={"xatol": 1e-14}
        )
        best = max(best, -found.fun)
    return min(best, 1.0)


def boschloo(x, n, y, m):
    less = np.array([[stats.hypergeom.cdf(i, n + m, i + j, n) for j in range(m + 1)] for i in range(n + 1)])
    more = np.array([[stats.hypergeom.cdf(j, n + m, i + j, m) for j in range(m + 1)] for i in range(n + 1)])
    p_less = worst(less <= less[x, y] * (1 + 1e-10), n, m)
    p_more = worst(more <= more[x, y] * (1 + 1e-10), n, m)
    return {"less": p_less, "greater": p_more, "two_sided": min(1.0, 2 * min(p_less, p_more))}


def barnard(x, n, y, m):
    i, j = np.mgrid[0 : n + 1, 0 : m + 1]
    pooled = (i + j) / (n + m)
    with np.errstate(all="ignore"):
        score = (i / n - j / m) / np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    score[i * m == j * n] = 0
    seen, slack = score[x, y], 1e-10
    return {
        "less": worst(score <= seen + slack, n, m),
        "greater": worst(score >= seen - slack, n, m),
        "two_sided": worst(np.abs(score) >= abs(seen) - slack, n, m),
    }


def unpaired_score(x, n, y, m, delta):
    """(p1 - p2 - delta) over its standard error at the constrained maximum."""
    low, high = max(0.0, -delta), min(1.0, 1.0 - delta)

    def slope(q):
        p = q + delta
        with np.errstate(all="ignore"):
            value = 0.0
            value += x / p if x else 0.0
            value -= (n - x) / (1 - p) if n - x else 0.0
            value += y / q if y else 0.0
            value -= (m - y) / (1 - q) if m - y else 0.0
        return value

    eps = 1e-14
    a, b = low + eps, high - eps
    if slope(a) <= 0:
        q = low
    elif slope(b) >= 0:
        q = high
    else:
        q = optimize.brentq(slope, a, b, xtol=1e-16, rtol=1e-15)
    p = q + delta
    variance = p * (1 - p) / n + q * (1 - q) / m
    gap = x / n - y / m - delta
    if abs(gap) < 1e-15:
        return 0.0
    return float(gap / np.sqrt(variance)) if variance > 1e-13 else None


def tango_score(both, b, c, neither, delta):
    """Constrained multinomial likelihood in q = P(only B), P(only A) = q + delta."""
    n = both + b + c + neither
    rest = both + neither
    low, high = max(0.0, -delta), (1 - delta) / 2

    def slope(q):
        value = 0.0
        value += b / (q + delta) if b else 0.0
        value += c / q if c else 0.0
        value -= 2 * rest / (1 - 2 * q - delta) if rest else 0.0
        return value

    eps = 1e-14
    if slope(low + eps) <= 0:
        q = low
    elif slope(high - eps) >= 0:
        q = high
    else:
        q = optimize.brentq(slope, low + eps, high - eps, xtol=1e-16, rtol=1e-15)
    variance = n * (2 * q + delta - delta**2)
    gap = b - c - n * delta
    if abs(gap) < 1e-12:
        return 0.0
    return float(gap / np.sqrt(variance)) if variance > 1e-10 else None


def main():
    unpaired = []
    tables = [(0, 5, 0, 9), (5, 5, 9, 9), (0, 5, 5, 5), (1, 1, 0, 1), (7, 15, 12, 15), (74, 117, 31, 63)]
    for index in range(260):
        size = 12 if index < 150 else 60
        n, m = (int(v) for v in rng.integers(1, size, 2))
        x, y = int(rng.integers(0, n + 1)), int(rng.integers(0, m + 1))
        tables.append((x, n, y, m))
    for index, (x, n, y, m) in enumerate(tables):
        table = [[x, y], [n - x, m - y]]
        names = {"two_sided": "two-sided", "less": "less", "greater": "greater"}
        case = {
            "a": [x, n],
            "b": [y, m],
            "fisher": {k: float(stats.fisher_exact(table, v).pvalue) for k, v in names.items()},
            "boschloo": boschloo(x, n, y, m),
            "barnard": barnard(x, n, y, m),
            "newcombe": [
                float(v) for v in confint_proportions_2indep(x, n, y, m, method="newcomb", compare="diff")
            ],
        }
        if n * m < 500:
            case["scipy"] = {
                "boschloo": float(stats.boschloo_exact(table).pvalue),
                "barnard": float(stats.barnard_exact(table).pvalue),
            }
        delta = float(rng.uniform(-0.6, 0.6))
        case["delta"], case["score"] = delta, unpaired_score(x, n, y, m, delta)
        unpaired.append(case)

    paired = []
    for index in range(300):
        cells = [int(v) for v in rng.integers(0, [5, 30, 200][index % 3], 4)]
        if sum(cells) == 0:
            cells[0] = 1
        both, b, c, neither = cells
        discordant = b + c
        exact = float(mcnemar([[both, b], [c, neither]], exact=True).pvalue) if discordant else 1.0
        if discordant == 0 or b == c:
            mid = 1.0
        else:
            mid = float(2 * stats.binom.cdf(min(b, c), discordant, 0.5) - stats.binom.pmf(b, discordant, 0.5))
        delta = float(rng.uniform(-0.5, 0.5))
        paired.append(
            {
                "cells": cells,
                "exact": exact,
                "mid_p": mid,
                "greater": float(stats.binomtest(b, discordant, 0.5, "greater").pvalue) if discordant else 1.0,
                "delta": delta,
                "score": tango_score(both, b, c, neither, delta),
            }
        )

    multiple = []
    for _ in range(100):
        p = rng.random(int(rng.integers(1, 20))) ** rng.choice([1, 3])
        if rng.random() < 0.3:
            p = np.round(p, 1)
        holm = multipletests(p, method="holm")[1]
        hochberg = multipletests(p, method="fdr_bh")[1]
        multiple.append({"p": p.tolist(), "holm": holm.tolist(), "benjamini_hochberg": hochberg.tolist()})

    power = []
    for _ in range(100):
        p, q = rng.uniform(0.02, 0.98, 2)
        n = int(rng.integers(5, 500))
        result = power_proportions_2indep(p - q, q, n, ratio=1, alpha=0.05, return_results=False)
        power.append({"p": float(p), "q": float(q), "trials": n, "power": float(result)})

    out = Path(__file__).parent.parent / "tests/fixtures/compare.json"
    data = {"unpaired": unpaired, "paired": paired, "multiple": multiple, "power": power}
    out.write_text(json.dumps(data, separators=(",", ":")) + "\n")


main()
