"""Reference values for rates corrected for a judge's errors.

    python calibration/tools/gen_judge.py > calibration/tests/fixtures/judge.json

A transcription in exact rational arithmetic, up to the square root, of the estimator of Rogan and
Gladen (1978) and the limits of Lang and Reiczigel (2014), as in R's asht::prevSeSp.
"""

import json
from fractions import Fraction as F
from random import Random

from mpmath import mp, mpf, sqrt

mp.dps = 40
Z = {0.9: mpf("1.644853626951472714863848907991632"),
     0.95: mpf("1.959963984540054235524594430520551"),
     0.99: mpf("2.575829303548900760966385867729583")}


def number(x):
    return mpf(x.numerator) / mpf(x.denominator)


def limits(x, n, k_se, n_se, k_sp, n_sp, z):
    se, sp = F(k_se + 1, n_se + 2), F(k_sp + 1, n_sp + 2)
    q = (mpf(x) + z * z / 2) / (n + z * z)
    youden = number(se + sp - 1)
    p = (q + number(sp) - 1) / youden
    a, b = number(se * (1 - se)) / (n_se + 2), number(sp * (1 - sp)) / (n_sp + 2)
    shift = 2 * z * z * (p * a - (1 - p) * b)
    half = z * sqrt(q * (1 - q) / (n + z * z) + p * p * a + (1 - p) ** 2 * b) / youden
    return p + shift - half, p + shift + half


random = Random(7)
cases = []
while len(cases) < 200:
    n, n_se, n_sp = (random.randint(1, 200) for _ in range(3))
    x = random.randint(0, n)
    k_se, k_sp = random.randint(n_se // 2, n_se), random.randint(n_sp // 2, n_sp)
    if F(k_se, n_se) + F(k_sp, n_sp) <= 1:
        continue
    level = random.choice(list(Z))
    raw = (F(x, n) + F(k_sp, n_sp) - 1) / (F(k_se, n_se) + F(k_sp, n_sp) - 1)
    value = min(max(raw, F(0)), F(1))
    # Cut to [0, 1]; the reported interval always holds the estimate.
    low, high = limits(x, n, k_se, n_se, k_sp, n_sp, Z[level])
    low, high = min(max(low, 0), number(value)), max(min(high, 1), number(value))
    cases.append(
        {
            "successes_judged": x, "trials": n, "level": level,
            "successes": n_se, "successes_seen": k_se, "failures": n_sp, "failures_seen": k_sp,
            "value": float(number(value)),
            "low": float(low),
            "high": float(high),
        }
    )

print(json.dumps({"generator": "calibration/tools/gen_judge.py", "cases": cases}))
