"""PSNR, SSIM, optical flow and feature distances by scikit-image, NumPy and SciPy.

    python scoring/tools/gen_video.py

writes scoring/tests/fixtures/video.json. Frames are made by a formula (see `frame`), which the
Rust test repeats, so that only the numbers need storing. The flow is an independent NumPy version
of Horn and Schunck (1981); feature distances use scipy.linalg.sqrtm.
"""

import json
import pathlib

import numpy as np
import scipy
import skimage
from scipy import linalg, ndimage
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

OUT = pathlib.Path(__file__).parent.parent / "tests" / "fixtures" / "video.json"


def noise(seed, count):
    """The top bytes of a 64-bit linear congruential generator (Knuth's MMIX constants)."""
    state, out = seed, np.empty(count, dtype=np.int64)
    for index in range(count):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        out[index] = state >> 56
    return out


def frame(height, width, channels, kind, seed):
    """Noise, a noisy ramp, or a soft blob, as u8."""
    values = noise(seed, height * width * channels).reshape(height, width, channels)
    y, x, c = np.meshgrid(*map(np.arange, (height, width, channels)), indexing="ij")
    if kind == 0:
        pixels = values
    elif kind == 1:
        pixels = (y * 3 + x * 2 + c * 10) % 200 + values // 16
    else:
        square = (y - height // 2) ** 2 + (x - width // 2) ** 2
        pixels = np.maximum(0, 220 - 2 * square) + values // 32
    return pixels.astype(np.uint8)


def frames():
    rng = np.random.default_rng(20260823)
    for index in range(240):
        height, width = (int(side) for side in rng.integers(11, 40, 2))
        channels = [1, 3][index % 2]
        kinds = (index // 2 % 3, index // 6 % 3)
        seeds = (index, index + (1000 if index % 5 else 0))
        yield height, width, channels, kinds, seeds


def similarity():
    cases = []
    for height, width, channels, kinds, seeds in frames():
        truth, predicted = (
            frame(height, width, channels, kind, seed) for kind, seed in zip(kinds, seeds)
        )
        with np.errstate(divide="ignore"):
            psnr = float(peak_signal_noise_ratio(truth, predicted, data_range=255))
        shared = {"data_range": 255, "channel_axis": 2}
        cases.append(
            {
                "shape": [height, width, channels],
                "kinds": kinds,
                "seeds": seeds,
                "psnr": None if np.isinf(psnr) else psnr,
                "ssim": float(structural_similarity(truth, predicted, **shared)),
                "ssim_wang": float(
                    structural_similarity(
                        truth,
                        predicted,
                        gaussian_weights=True,
                        sigma=1.5,
                        use_sample_covariance=False,
                        **shared,
                    )
                ),
            }
        )
    return cases


def horn_schunck(first, second, alpha, iterations):
    """Flow by convolutions, as in the paper's sections 7 to 12."""
    first, second = (np.pad(f.astype(float), ((0, 1), (0, 1)), mode="edge") for f in (first, second))

    def cube(weigh):
        return 0.25 * weigh(first, second)

    def right(f):
        return (f[:-1, 1:] - f[:-1, :-1]) + (f[1:, 1:] - f[1:, :-1])

    def down(f):
        return (f[1:, :-1] - f[:-1, :-1]) + (f[1:, 1:] - f[:-1, 1:])

    def total(f):
        return f[:-1, :-1] + f[:-1, 1:] + f[1:, :-1] + f[1:, 1:]

    ex = cube(lambda a, b: right(a) + right(b))
    ey = cube(lambda a, b: down(a) + down(b))
    et = cube(lambda a, b: total(b) - total(a))
    kernel = np.array([[1, 2, 1], [2, 0, 2], [1, 2, 1]]) / 12
    u, v = np.zeros_like(ex), np.zeros_like(ex)
    for _ in range(iterations):
        mean_u = ndimage.convolve(u, kernel, mode="nearest")
        mean_v = ndimage.convolve(v, kernel, mode="nearest")
        step = (ex * mean_u + ey * mean_v + et) / (alpha**2 + ex**2 + ey**2)
        u, v = mean_u - ex * step, mean_v - ey * step
    return u, v


def flow():
    cases = []
    for index in range(12):
        height, width = 12 + index, 20 - index
        first = frame(height, width, 1, index % 3, index)
        second = frame(height, width, 1, index % 3, index + 50)
        u, v = horn_schunck(first[..., 0], second[..., 0], 10.0, 30)
        cases.append(
            {
                "shape": [height, width, 1],
                "kind": index % 3,
                "seeds": [index, index + 50],
                "right": [float(f"{value:.12g}") for value in u.ravel()[:: 7 + index]],
                "down": [float(f"{value:.12g}") for value in v.ravel()[:: 7 + index]],
                "stride": 7 + index,
            }
        )
    return cases


def features(seed, count, dimensions):
    return noise(seed, count * dimensions).reshape(count, dimensions) / 64.0


def distances():
    cases = []
    for index in range(30):
        n, m, d = 12 + index, 40 - index, 2 + index % 9
        truth, predicted = features(index, n, d), 1.1 * features(index + 99, m, d) + 0.1 * index
        a, b = np.atleast_2d(np.cov(truth.T)), np.atleast_2d(np.cov(predicted.T))
        root = linalg.sqrtm(a @ b)
        gap = np.sum((truth.mean(0) - predicted.mean(0)) ** 2)
        frechet = gap + np.trace(a) + np.trace(b) - 2 * np.trace(root).real

        def kernel(x, y):
            return (x @ y.T / d + 1) ** 3

        within = [
            (kernel(x, x).sum() - np.trace(kernel(x, x))) / (len(x) * (len(x) - 1))
            for x in (truth, predicted)
        ]
        mmd = within[0] + within[1] - 2 * kernel(truth, predicted).mean()
        cases.append(
            {
                "seeds": [index, index + 99],
                "sizes": [n, m, d],
                "shift": 0.1 * index,
                "frechet": float(frechet),
                "kernel": float(mmd),
            }
        )
    return cases


def main():
    versions = f"scikit-image {skimage.__version__}, scipy {scipy.__version__}"
    out = {
        "made_with": versions,
        "similarity": similarity(),
        "flow": flow(),
        "distances": distances(),
    }
    OUT.write_text(json.dumps(out, separators=(",", ":")))


if __name__ == "__main__":
    main()
