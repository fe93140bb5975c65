"""The examples run, against the gateway with a fake worker; `make test-examples` has a real one."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from examples.video import segment_video
from tests.support.fakes import Gateway, running

EXAMPLES = Path(__file__).parents[3] / "examples"
NOTEBOOK: dict[str, Any] = json.loads((EXAMPLES / "segment.ipynb").read_text())
CODE = [cell for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]
SIZE = (48, 64)
FRAMES = 20


def url_of(gateway: Gateway) -> str:
    return f"http://127.0.0.1:{gateway.port}"


async def test_the_cells_of_the_notebook_run_without_jupyter(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cells = ["".join(cell["source"]) for cell in CODE]
    monkeypatch.chdir(EXAMPLES)
    async with running() as gateway:
        await gateway.ready()
        monkeypatch.setenv("FCNSERVE_URL", url_of(gateway))
        await asyncio.to_thread(exec, "\n".join(cells), {"__name__": "__main__"})
    printed = capsys.readouterr().out
    assert re.search(r"^cat +\d+\.\d%", printed, re.MULTILINE)
    assert "astronaut.jpg <Segmentation 512x512" in printed


def test_the_notebook_is_kept_with_what_its_cells_show() -> None:
    assert all(cell["outputs"] for cell in CODE)
    kinds = {kind for cell in CODE for each in cell["outputs"] for kind in each.get("data", ())}
    assert {"image/jpeg", "image/png", "text/plain"} <= kinds
    assert (EXAMPLES / "segment.ipynb").stat().st_size < 300_000


async def test_a_videos_overlay_has_its_frames_in_order(tmp_path: Path) -> None:
    write_video(tmp_path / "in.mp4")
    async with running() as gateway:
        await gateway.ready()
        written = await asyncio.to_thread(
            segment_video, tmp_path / "in.mp4", tmp_path / "out.mp4", url_of(gateway), 32
        )
        assert {call.options["max_side"] for call in gateway.torchserve.photos} == {32}
    frames = read_frames(tmp_path / "out.mp4")
    assert written == len(frames) == FRAMES
    assert {frame.shape[:2] for frame in frames} == {SIZE}
    upper = [frame[: SIZE[0] // 2 - 8].mean() for frame in frames]  # background, unpainted
    assert upper == sorted(upper)
    assert upper[-1] - upper[0] > 100
    lower = frames[0][SIZE[0] // 2 + 8 :].mean(axis=(0, 1))
    assert lower.max() - lower.min() > 50  # grey, under the colour of its class


@pytest.mark.parametrize(
    ("video", "overlay", "named"), [("none.mp4", "out.mp4", "none.mp4"), ("in.mp4", "no/", "no")]
)
def test_a_video_that_cannot_be_read_or_written_is_named(
    video: str, overlay: str, named: str, tmp_path: Path
) -> None:
    write_video(tmp_path / "in.mp4")
    with pytest.raises(OSError, match=named):
        segment_video(tmp_path / video, tmp_path / overlay / "out.mp4", "http://127.0.0.1:9")


def write_video(path: Path) -> None:
    """Write grey frames, each lighter than the one before."""
    height, width = SIZE
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 10, (width, height))
    for number in range(FRAMES):
        writer.write(np.full((height, width, 3), 20 + 10 * number, np.uint8))
    writer.release()


def read_frames(path: Path) -> list[Any]:
    capture = cv2.VideoCapture(str(path))
    frames = []
    while (read := capture.read())[0]:
        frames.append(read[1])
    capture.release()
    return frames
