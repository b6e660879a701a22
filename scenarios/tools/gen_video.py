#!/usr/bin/env python3
"""Writes the video fixtures of `tests/it/video.rs`: small mp4 files, and what PyAV decodes from them.

    python3 gen_video.py            # needs av (PyAV) and numpy

Each frame is recorded as a digest of its `frame.to_ndarray(format="rgb24")`: the sum of
`(position + 1) * value` over its bytes, modulo 2**61. Equal digests mean equal pixels.
"""

import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

OUT = Path(__file__).resolve().parent.parent / "tests" / "fixtures" / "video"


def scene(height, width, frames):
    """A moving pattern with sharp edges, saturated colours and a little noise."""
    rng = np.random.default_rng(7)
    rows, columns = np.mgrid[0:height, 0:width]
    noise = rng.integers(0, 12, (height, width, 3))
    for frame in range(frames):
        red = 127 + 120 * np.sin((columns + 3 * frame) / 9.0)
        green = 127 + 120 * np.cos((rows - 2 * frame) / 7.0)
        blue = 255.0 * ((rows // 8 + columns // 8 + frame // 2) % 2)
        image = np.stack([red, green, blue], axis=-1)
        top, left = (5 * frame) % (height - 12), (7 * frame) % (width - 12)
        image[top : top + 12, left : left + 12] = (255, 0, 0) if frame % 2 else (0, 0, 255)
        yield np.clip(image + noise, 0, 255).astype(np.uint8)


def encode(name, codec, pix_fmt, height, width, frames, rate, options, gop, colour=None):
    path = OUT / f"{name}.mp4"
    with av.open(str(path), "w", options={"movflags": "+faststart"} if colour else {}) as container:
        stream = container.add_stream(codec, rate=rate, options=options)
        stream.height, stream.width, stream.pix_fmt = height, width, pix_fmt
        context = stream.codec_context
        context.gop_size = gop
        context.thread_count = 1
        if colour:
            context.color_range, context.colorspace = colour
        for image in scene(height, width, frames):
            picture = av.VideoFrame.from_ndarray(image, format="rgb24")
            if colour:
                picture = picture.reformat(
                    format=pix_fmt, dst_colorspace=colour[1], dst_color_range=colour[0]
                )
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


def digest(array):
    values = array.reshape(-1).astype(np.uint64)
    weights = np.arange(1, values.size + 1, dtype=np.uint64)
    return int((values * weights).sum() % (1 << 61))


def describe(path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = [
            {
                "secs": float(frame.pts * stream.time_base),
                "digest": digest(frame.to_ndarray(format="rgb24")),
            }
            for frame in container.decode(stream)
        ]
        return {
            "codec": {"libdav1d": "av1"}.get(stream.codec_context.name, stream.codec_context.name),
            "height": stream.codec_context.height,
            "width": stream.codec_context.width,
            "frames": frames,
        }


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    x264 = {"crf": "26", "preset": "medium"}
    files = [
        # As LeRobot writes it.
        encode("av1", "libsvtav1", "yuv420p", 64, 96, 11, 10, {"crf": "30", "preset": "8"}, 2),
        # B-frames that are themselves referred to; two and a half groups.
        encode("h264_b", "libx264", "yuv420p", 64, 96, 30, 30,
               x264 | {"x264-params": "bframes=3:b-pyramid=normal:keyint=12:min-keyint=12:scenecut=0"}, 12),
        # One group that is longer than the counter of the picture order.
        encode("h264_long", "libx264", "yuv420p", 32, 48, 150, 30,
               {"crf": "40", "x264-params": "bframes=2:keyint=400:scenecut=0"}, 400),
        # Groups that are not closed: pictures before a key frame need the group before it.
        encode("h264_open", "libx264", "yuv420p", 48, 64, 24, Fraction(30000, 1001),
               x264 | {"x264-params": "open-gop=1:bframes=2:keyint=8:min-keyint=8:scenecut=0"}, 8),
        # Sides that no macroblock divides, BT.709, full range.
        encode("h264_709", "libx264", "yuv420p", 54, 86, 6, 25, x264, 3, (2, 1)),
    ]
    described = {path.stem: describe(path) for path in files}
    # Without an embedded decoder.
    for name, codec, pix_fmt, options in [
        ("h264_444", "libx264", "yuv444p", {"crf": "30"}),
        ("h264_10bit", "libx264", "yuv420p10le", {"crf": "30"}),
        ("hevc", "libx265", "yuv420p", {"crf": "30", "x265-params": "log-level=none"}),
    ]:
        encode(name, codec, pix_fmt, 64, 96, 3, 10, options, 2)
    (OUT / "frames.json").write_text(json.dumps(described, indent=1) + "\n")
    for path in sorted(OUT.iterdir()):
        print(f"{path.name:20} {path.stat().st_size:7}")


if __name__ == "__main__":
    main()
