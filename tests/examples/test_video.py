"""The example of a video, as a command, with the real network."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np

from tests.support.server import CAT, ROOT, Server

FRAMES = 6


def test_each_frame_of_a_video_has_its_cat_painted(server: Server, tmp_path: Path) -> None:
    photo = cv2.imread(str(CAT))
    assert photo is not None
    size = (photo.shape[1], photo.shape[0])
    writer = cv2.VideoWriter(str(tmp_path / "in.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 10, size)
    for number in range(FRAMES):
        writer.write(np.roll(photo, 20 * number, axis=1))
    writer.release()
    command = [sys.executable, "examples/video.py", str(tmp_path / "in.mp4")]
    command += [str(tmp_path / "out.mp4"), "--url", server.url]
    printed = subprocess.check_output(command, cwd=ROOT, text=True)
    assert printed.startswith(f"{FRAMES} frames in ")
    before, after = (cv2.VideoCapture(str(tmp_path / name)) for name in ("in.mp4", "out.mp4"))
    for _ in range(FRAMES):
        plain, painted = before.read()[1], after.read()[1]
        assert np.mean(np.abs(plain.astype(int) - painted).max(axis=2) > 40) > 0.3
    assert not after.read()[0]
