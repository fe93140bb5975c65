"""Decoding a mutated photo ends with pixels or a problem, in limited time, without a leak."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.fuzz.memory import growth_bytes, quarters_text
from tests.fuzz.mutate import mutant
from tests.support.fakes import ROOT

MAX_IMAGE_S = {"mutant": 2.0, "costly": 20.0}  # of processor time
MAX_PHOTO_S = 120.0  # after which a photo counts as hanging
MAX_GROWTH_BYTES = 96_000_000  # one photo of 32 megapixels


@pytest.fixture(scope="module")
def decoded(tmp_path_factory: pytest.TempPathFactory, seed: int, images: int) -> dict[str, Any]:
    """The outcomes of all photos, decoded in a process of its own."""
    folder = tmp_path_factory.mktemp("fuzz")
    progress = folder / "number"
    progress.write_bytes(b"%020d" % 0)
    command = [sys.executable, "-m", "tests.fuzz.decode_all", str(seed), str(images), str(progress)]
    with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
        child = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=err)
        try:
            wait_while_photos_pass(child, progress)
        finally:
            child.kill()
            child.wait()
    errors = (folder / "err").read_text()
    assert child.returncode == 0, f"photo {int(progress.read_bytes())}: {errors[-4000:]}"
    answer: dict[str, Any] = json.loads((folder / "out").read_text())
    return answer


def wait_while_photos_pass(child: subprocess.Popen[bytes], progress: Path) -> None:
    """Wait until the process ends; fails when one photo takes too long."""
    last, since = b"", time.monotonic()
    while child.poll() is None:
        number = progress.read_bytes()
        if number != last:
            last, since = number, time.monotonic()
        assert time.monotonic() < since + MAX_PHOTO_S, f"photo {int(number)} hangs"
        time.sleep(0.1)


def test_decoding_raises_only_problems(
    decoded: dict[str, Any], images: int, figures: list[str]
) -> None:
    figures.append(f"decoded: {decoded['found']}")
    assert decoded["failures"] == []
    assert sum(decoded["found"].values()) == images


def test_the_mutants_include_valid_and_broken_photos(decoded: dict[str, Any]) -> None:
    kinds = set(decoded["found"])
    assert {"jpeg", "png", "webp", "bmp", "tiff", "gif", "avif"} <= kinds
    assert {"broken_image", "too_many_pixels"} <= kinds


@pytest.mark.parametrize("kind", MAX_IMAGE_S)
def test_no_photo_takes_long(decoded: dict[str, Any], figures: list[str], kind: str) -> None:
    seconds, number = decoded["slowest"][kind]
    figures.append(f"slowest {kind}: photo {number}, {seconds:.2f} s")
    assert seconds < MAX_IMAGE_S[kind]


def test_memory_does_not_grow(decoded: dict[str, Any], figures: list[str]) -> None:
    figures.append(f"decoding: {quarters_text(decoded['readings'])}")
    assert growth_bytes(decoded["readings"]) < MAX_GROWTH_BYTES


def test_a_number_always_gives_the_same_photo() -> None:
    assert [mutant(5, number) for number in range(50)] == [
        mutant(5, number) for number in range(50)
    ]
    assert mutant(5, 0) != mutant(6, 0)
