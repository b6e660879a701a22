"""Writes tests/fixtures/rates.json: proportion intervals and the distributions behind them.

Wilson and Clopper-Pearson from statsmodels, Jeffreys from SciPy's beta quantiles with the
boundary rule of Brown, Cai and DasGupta (2001). Needs numpy, scipy, statsmodels.

    python scoring/tools/gen_rates.py
"""

import json
from pathlib import Path

import numpy as np
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

rng = np.random.default_rng(7)


def interval(k, n, level):
    alpha = 1 - level
    wilson = proportion_confint(k, n, alpha, method="wilson")
    exact = proportion_confint(k, n, alpha, method="beta")
    low = 0.0 if k == 0 else stats.beta.ppf(alpha / 2, k + 0.5, n - k + 0.5)
    high = 1.0 if k == n else stats.beta.ppf(1 - alpha / 2, k + 0.5, n - k + 0.5)
    return {
        "successes": int(k),
        "trials": int(n),
        "level": float(level),
        "wilson": [float(x) for x in wilson],
        "clopper_pearson": [float(x) for x in exact],
        "jeffreys": [float(low), float(high)],
    }


def main():
    cells = []
    for n in [1, 2, 3, 5, 10, 25, 50, 100]:
        for k in sorted({0, 1, n // 2, n - 1, n}):
            for level in [0.9, 0.95, 0.99]:
                cells.append(interval(k, n, level))
    for _ in range(300):
        n = int(np.exp(rng.uniform(0, np.log(1e5))))
        n = max(n, 1)
        cells.append(interval(rng.integers(0, n + 1), n, rng.choice([0.5, 0.8, 0.9, 0.95, 0.99, 0.999])))

    binomial = []
    for _ in range(200):
        n = int(np.exp(rng.uniform(0, np.log(1e5)))) + 1
        p = float(rng.beta(0.5, 0.5))
        k = int(rng.binomial(n, p)) if rng.random() < 0.7 else int(rng.integers(0, n + 1))
        binomial.append(
            {
                "k": k,
                "n": n,
                "p": p,
                "pmf": float(stats.binom.pmf(k, n, p)),
                "cdf": float(stats.binom.cdf(k, n, p)),
                "tail": float(stats.binom.sf(k - 1, n, p)),
            }
        )

    hypergeometric = []
    for _ in range(200):
        marked, plain = (int(x) for x in rng.integers(0, 200, 2))
        draws = int(rng.integers(0, marked + plain + 1))
        k = int(rng.integers(0, min(marked, draws) + 1))
        pmf = stats.hypergeom.pmf(k, marked + plain, marked, draws)
        hypergeometric.append({"k": k, "marked": marked, "plain": plain, "draws": draws, "pmf": float(pmf)})

    p = np.concatenate([10.0 ** -np.arange(1, 16), rng.random(50)])
    normal = [{"p": float(x), "quantile": float(stats.norm.ppf(x))} for x in p]

    out = Path(__file__).parent.parent / "tests/fixtures/rates.json"
    data = {"intervals": cells, "binomial": binomial, "hypergeometric": hypergeometric, "normal": normal}
    out.write_text(json.dumps(data, separators=(",", ":")) + "\n")


main()
