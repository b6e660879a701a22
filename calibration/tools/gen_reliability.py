"""Reference values for reliability diagrams, Brier scores and recalibration.

    python calibration/tools/gen_reliability.py > calibration/tests/fixtures/reliability.json

Needs scikit-learn 1.9, scipy 1.17. scikit-learn ends Platt's fit early (L-BFGS); `platt_exact` is
its solution driven on to a zero gradient by scipy.optimize.root.
"""

import json
import warnings

import numpy as np
from scipy.optimize import root
from scipy.special import expit
from sklearn.calibration import _sigmoid_calibration, calibration_curve
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import brier_score_loss

warnings.simplefilter("ignore")
rng = np.random.default_rng(20250608)
grid = np.round(np.linspace(0, 1, 23), 6)


def platt_exact(s, y, start):
    positives, negatives = y.sum(), len(y) - y.sum()
    t = np.where(y > 0, (positives + 1) / (positives + 2), 1 / (negatives + 2))

    def gradient(ab):
        r = expit(ab[0] * s + ab[1]) - t
        return [float(r @ s), float(r.sum())]

    found = root(gradient, start, tol=1e-15, options={"xtol": 1e-15})
    assert np.abs(gradient(found.x)).max() < 1e-10, gradient(found.x)
    return found.x


cases = []
for index in range(45):
    n = int(rng.integers(6, 90))
    p = rng.beta(*rng.uniform(0.4, 3, 2), n)
    # Rounding makes ties; every third case is coarse.
    p = np.round(p, 1 if index % 3 == 0 else 5)
    y = (rng.random(n) < expit(rng.uniform(0.3, 3) * (p - 0.5) * 4 + rng.normal())).astype(int)
    if y.min() == y.max():
        y[0] = 1 - y[0]
    bins = int(rng.integers(1, 13))
    curves = {}
    for strategy in ("uniform", "quantile"):
        observed, predicted = calibration_curve(y, p, n_bins=bins, strategy=strategy)
        curves[strategy] = [observed.tolist(), predicted.tolist()]
    isotonic = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(p, y)
    a, b = _sigmoid_calibration(p, y)
    cases.append(
        {
            "predicted": p.tolist(),
            "observed": y.tolist(),
            "bins": bins,
            "curves": curves,
            "brier": brier_score_loss(y, p),
            "isotonic": isotonic.predict(grid).tolist(),
            "platt_sklearn": expit(-(a * grid + b)).tolist(),
            "platt_exact": expit(np.dot(np.stack([grid, np.ones_like(grid)], 1),
                                        platt_exact(p, y, [-a, -b]))).tolist(),
        }
    )

print(json.dumps({"generator": "calibration/tools/gen_reliability.py", "grid": grid.tolist(),
                  "cases": cases}))
