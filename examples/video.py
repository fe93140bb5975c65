"""Segments a video: a file in, the same video with its classes painted over it out.

    python examples/video.py holiday.mp4 overlay.mp4 --url http://127.0.0.1:8000

Needs fcnserve-client and opencv-python-headless. Frames are read as results are taken: 2 * PARALLEL
of them are in memory, however long the video is.
"""

import argparse
import contextlib
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from fcnserve_client import Client

PARALLEL = 4
JPEG_QUALITY = 95
DEFAULT_FPS = 25.0
"""Where the file does not say it."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Paint the classes over a video.")
    parser.add_argument("video", type=Path)
    parser.add_argument("overlay", type=Path, help="the video to write, an .mp4")
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--max-side", type=int, help="side at which the network sees a frame")
    given = parser.parse_args()
    frames = segment_video(given.video, given.overlay, given.url, given.max_side)
    print(f"{frames} frames in {given.overlay}")


def segment_video(video: Path, overlay: Path, url: str, max_side: int | None = None) -> int:
    """Write the overlay of a video; returns the number of frames. Raises OSError, FcnserveError."""
    count = 0
    with Client(url) as client, opened(video) as capture, created(overlay, capture) as writer:
        frames = frames_of(capture)
        with client.segment_many(frames, parallel=PARALLEL, max_side=max_side) as results:
            for _, seg in results:
                writer.write(np.asarray(seg.overlay())[..., ::-1])  # RGB to OpenCV's BGR
                count += 1
    return count


def frames_of(capture: cv2.VideoCapture) -> Iterator[bytes]:
    """Read the frames, each as a JPEG: a tenth of the bytes that an array is sent as."""
    while True:
        found, frame = capture.read()
        if not found:
            return
        yield cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()


@contextlib.contextmanager
def opened(video: Path) -> Iterator[cv2.VideoCapture]:
    capture = cv2.VideoCapture(str(video))
    try:
        if not capture.isOpened():
            raise OSError(f"{video} cannot be read as a video")
        yield capture
    finally:
        capture.release()


@contextlib.contextmanager
def created(video: Path, like: cv2.VideoCapture) -> Iterator[cv2.VideoWriter]:
    fps = like.get(cv2.CAP_PROP_FPS) or DEFAULT_FPS
    width, height = (
        int(like.get(each)) for each in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
    )
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter.fourcc(*"mp4v"), fps, (width, height))
    try:
        if not writer.isOpened():
            raise OSError(f"{video} cannot be written; name an .mp4 in a folder that exists")
        yield writer
    finally:
        writer.release()


if __name__ == "__main__":
    main()
