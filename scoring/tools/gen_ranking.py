"""Writes tests/fixtures/ranking.json: Bradley-Terry fits and probabilities of superiority.

Bradley-Terry as the logistic regression that it is (statsmodels GLM), Mann-Whitney's U from
SciPy, P(rate A > rate B) by SciPy's adaptive quadrature. Needs numpy, scipy, statsmodels.

    python scoring/tools/gen_ranking.py
"""

import json
from pathlib import Path

import numpy as np
import statsmodels.api as sm
from scipy import integrate, stats

rng = np.random.default_rng(5)


def bradley_terry(wins):
    k = len(wins)
    rows, outcomes = [], []
    for i in range(k):
        for j in range(i + 1, k):
            if wins[i][j] + wins[j][i] > 0:
                row = np.zeros(k)
                row[i], row[j] = 1, -1
                rows.append(row)
                outcomes.append([wins[i][j], wins[j][i]])
    design = np.array(rows)
    # The last policy is the reference; strengths and their covariance are then centred.
    fit = sm.GLM(np.array(outcomes), design[:, :-1], family=sm.families.Binomial()).fit(tol=1e-14, maxiter=200)
    strengths = np.append(fit.params, 0.0)
    covariance = np.zeros((k, k))
    covariance[:-1, :-1] = fit.cov_params()
    centre = np.eye(k) - 1 / k
    return (centre @ strengths).tolist(), np.sqrt(np.diag(centre @ covariance @ centre.T)).tolist()


def superiority(a, b):
    (x, n), (y, m) = a, b
    p, q = stats.beta(x + 0.5, n - x + 0.5), stats.beta(y + 0.5, m - y + 0.5)

    def integrand(theta):
        rate = np.sin(theta) ** 2
        log = p.logpdf(rate) + np.log(2 * np.sin(theta) * np.cos(theta))
        return np.exp(log) * q.cdf(rate)

    centre = np.arcsin(np.sqrt(p.mean()))
    points = [0.0, max(centre - 0.2, 0.0), centre, min(centre + 0.2, np.pi / 2), np.pi / 2]
    pieces = [integrate.quad(integrand, s, t, epsabs=1e-13, epsrel=1e-12, limit=400)[0] for s, t in zip(points, points[1:]) if t > s]
    return float(sum(pieces))


def main():
    fits = []
    for _ in range(100):
        k = int(rng.integers(2, 9))
        wins = rng.integers(1, 25, (k, k)).astype(float)
        if rng.random() < 0.3:
            wins += 0.5 * rng.integers(0, 2, (k, k))
        np.fill_diagonal(wins, 0)
        strengths, errors = bradley_terry(wins)
        fits.append({"wins": wins.tolist(), "strengths": strengths, "standard_errors": errors})

    trials = []
    for _ in range(100):
        a = (rng.integers(0, 5, int(rng.integers(1, 30))) / 4).tolist()
        b = (rng.integers(0, 5, int(rng.integers(1, 30))) / 4).tolist()
        u = float(stats.mannwhitneyu(a, b).statistic)
        trials.append({"a": a, "b": b, "superiority": u / (len(a) * len(b))})

    rates = []
    for _ in range(100):
        n, m = (int(v) for v in np.exp(rng.uniform(0, np.log(500), 2)))
        a, b = [int(rng.integers(0, n + 1)), n], [int(rng.integers(0, m + 1)), m]
        rates.append({"a": a, "b": b, "superiority": superiority(a, b)})

    out = Path(__file__).parent.parent / "tests/fixtures/ranking.json"
    out.write_text(json.dumps({"fits": fits, "trials": trials, "rates": rates}, separators=(",", ":")) + "\n")


main()
