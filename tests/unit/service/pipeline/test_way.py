"""The way of a photo is straight: its bytes enter each file once."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from tests.support.fakes import CAT, ROOT, running

PHOTO = CAT + b"a tail, unlike the liveness probe's"
WAY = [
    "service/pipeline/read.py",
    "service/body/content_type.py",
    "service/pipeline/admit.py",
    "service/pipeline/dispatch.py",
    "service/backend/dispatcher.py",
    "service/backend/attempt.py",
    "service/backend/client.py",
    "service/pipeline/render.py",
]


def carries_photo(value: Any) -> bool:
    """Whether an argument is the photo's bytes, or images of which one has them as its body."""
    images = value if isinstance(value, list) else [value]
    return PHOTO in (value, *(getattr(image, "body", None) for image in images))


@contextmanager
def recorded_files() -> Iterator[list[str]]:
    """Record the file of each call in `service` with the photo as an argument, in order."""
    files: list[str] = []
    seen: list[FrameType] = []  # a coroutine's frame is called anew at each of its steps

    def record(frame: FrameType, event: str, _argument: object) -> None:
        path = Path(frame.f_code.co_filename)
        if event != "call" or not path.is_relative_to(ROOT / "service") or frame in seen:
            return
        names = frame.f_code.co_varnames[: frame.f_code.co_argcount]
        if any(carries_photo(frame.f_locals.get(name)) for name in names):
            seen.append(frame)
            files.append(str(path.relative_to(ROOT)))

    sys.setprofile(record)
    try:
        yield files
    finally:
        sys.setprofile(None)


@pytest.mark.parametrize("output", ["mask", "overlay"])
async def test_a_photo_enters_each_file_once(output: str) -> None:
    async with running() as gateway:
        await gateway.ready()
        with recorded_files() as files:
            assert (await gateway.segment(PHOTO, output=output)).status_code == 200
    visits = [file for file, _ in groupby(files)]
    assert len(visits) == len(set(visits))
    assert [file for file in visits if not file.startswith("service/server/")] == WAY
