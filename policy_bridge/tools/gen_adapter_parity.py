"""Writes tests/fixtures/adapter/parity.json: rotations by SciPy, resizing by openpi-client 0.1.2,
json-numpy's and NumPy's own bytes.

    pip install scipy openpi-client==0.1.2 typing_extensions pillow json-numpy
    python tools/gen_adapter_parity.py
"""

import io
import json
from pathlib import Path

import json_numpy
import numpy as np
from openpi_client import image_tools
from scipy.spatial.transform import Rotation

rng = np.random.default_rng(7)


def rotations():
    quaternions = list(Rotation.random(20, random_state=3).as_quat())
    # Near no turn, near half a turn, at the poles of pitch.
    for axis, angle in [((1, 0, 0), 1e-9), ((0, 1, 0), np.pi - 1e-7), ((1, 2, 3), np.pi / 2)]:
        axis = np.array(axis) / np.linalg.norm(axis)
        quaternions.append(Rotation.from_rotvec(axis * angle).as_quat())
    rows = []
    for quaternion in quaternions:
        rotation = Rotation.from_quat(quaternion)
        matrix = rotation.as_matrix()
        rows.append(
            {
                "xyzw": rotation.as_quat(canonical=True).tolist(),
                "axis_angle": rotation.as_rotvec().tolist(),
                "intrinsic_xyz": rotation.as_euler("XYZ").tolist(),
                "extrinsic_xyz": rotation.as_euler("xyz").tolist(),
                "columns": matrix[:, :2].T.ravel().tolist(),
                "rows": matrix[:2].ravel().tolist(),
                "columns_interleaved": matrix[:, :2].ravel().tolist(),
            }
        )
    return rows


def resized(height, width, to):
    # Smooth, as photographs are: the two libraries round differently at hard edges.
    y, x = np.mgrid[:height, :width]
    image = np.stack([y * 200 // height, x * 200 // width, (x + y) * 200 // (height + width)], -1)
    image = image.astype(np.uint8)
    shown = image_tools.resize_with_pad(image, *to)
    return {
        "height": height,
        "width": width,
        "pixels": image.ravel().tolist(),
        "to": to,
        "resized": shown.ravel().tolist(),
    }


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue().hex()


Path(__file__).parent.parent.joinpath("tests/fixtures/adapter/parity.json").write_text(
    json.dumps(
        {
            "rotations": rotations(),
            "resized": [resized(12, 20, (8, 8)), resized(20, 12, (7, 9)), resized(6, 6, (10, 14))],
            "json_numpy": json.loads(json_numpy.dumps(np.arange(6, dtype=np.float32).reshape(2, 3))),
            "npy": {
                "u1": npy(np.arange(12, dtype=np.uint8).reshape(1, 1, 2, 2, 3)),
                "f4": npy(np.arange(3, dtype=np.float32)),
                "f8_large": npy(np.zeros((1234567, 0))),
            },
        }
    )
)
