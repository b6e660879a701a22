"""Reference values for prediction-powered means.

    python calibration/tools/gen_ppi.py > calibration/tests/fixtures/ppi.json

Needs ppi-python 0.2.3, scipy 1.17, statsmodels 0.15. Cases are drawn with a fixed seed: rates,
partial credits and values on any scale, from 3 pairs up, with correlations from none to total.
"""

import json

import numpy as np
from ppi_py import ppi_mean_ci, ppi_mean_pointestimate
from ppi_py.ppi import _calc_lam_glm
from scipy import stats
from statsmodels.api import OLS, add_constant

rng = np.random.default_rng(20250607)


def draw(kind, n, unpaired):
    total = n + unpaired
    if kind == "rate":
        p, keep = rng.uniform(0.1, 0.9), rng.uniform(0, 1)
        y = (rng.random(total) < p).astype(float)
        f = np.where(rng.random(total) < keep, y, rng.random(total) < rng.uniform(0.1, 0.9))
        f = f.astype(float)
    else:
        rho = rng.uniform(-0.3, 1.0)
        z = rng.standard_normal(total)
        y = rho * z + np.sqrt(1 - rho**2) * rng.standard_normal(total)
        f = z * rng.uniform(0.5, 2.0) + rng.normal()
        if kind == "credit":
            y, f = stats.norm.cdf(y), stats.norm.cdf(f)
        y, f = np.round(y, 4), np.round(f, 4)
    return y[:n], f[:n], f[n:]


def tuned(y, f, u):
    start = u.mean() + (y - f).mean()
    return _calc_lam_glm(y - start, f - start, u - start, np.eye(1), clip=True)


def student(y, f, u, level):
    """The double-sampling regression estimator, from statsmodels' line through the pairs."""
    n, everything = len(y), np.concatenate([f, u])
    line = OLS(y, add_constant(f)).fit()
    at = line.get_prediction(np.array([[1.0, everything.mean()]]))
    variance = at.se_mean[0] ** 2 + line.params[1] ** 2 * everything.var(ddof=1) / len(everything)
    half = stats.t.ppf(0.5 + level / 2, n - 2) * np.sqrt(variance)
    return [at.predicted_mean[0], at.predicted_mean[0] - half, at.predicted_mean[0] + half]


cases = []
while len(cases) < 150:
    kind = ["rate", "credit", "value"][len(cases) % 3]
    n, unpaired = int(rng.integers(3, 41)), int(rng.integers(2, 61))
    y, f, u = draw(kind, n, unpaired)
    if np.ptp(np.concatenate([f, u])) == 0 or np.ptp(f) == 0:
        continue  # ppi_py divides by zero
    level = float(rng.choice([0.8, 0.9, 0.95, 0.99]))
    lam = tuned(y, f, u)
    low, high = ppi_mean_ci(y, f, u, alpha=1 - level)
    fixed = round(float(rng.uniform(-0.5, 1.5)), 3)
    fixed_low, fixed_high = ppi_mean_ci(y, f, u, alpha=1 - level, lam=fixed)
    classical = stats.t.interval(level, n - 1, y.mean(), stats.sem(y))
    cases.append(
        {
            "kind": kind,
            "level": level,
            "real": y.tolist(),
            "imagined": f.tolist(),
            "unpaired": u.tolist(),
            "lambda": float(lam),
            "value": float(np.squeeze(ppi_mean_pointestimate(y, f, u))),
            "low": float(np.squeeze(low)),
            "high": float(np.squeeze(high)),
            "fixed_lambda": fixed,
            "fixed_low": float(np.squeeze(fixed_low)),
            "fixed_high": float(np.squeeze(fixed_high)),
            "classical_t": [float(v) for v in classical],
            "student": [float(v) for v in student(y, f, u, level)],
        }
    )

print(json.dumps({"generator": "calibration/tools/gen_ppi.py", "cases": cases}))
