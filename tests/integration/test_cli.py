"""The `fcnserve` command: help without heavy imports, and `segment` with the real server."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.reading import size_of
from tests.support.photos import shown
from tests.support.server import ASTRONAUT, CAT, ROOT, Server, clean_environment

WITHOUT_TORCH = """
import sys
sys.modules.update(dict.fromkeys(("torch", "ts", "handlers.pipeline", "uvicorn"), None))
from service.cli.main import main
main()
"""


def fcnserve(*arguments: str, stdin: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, *arguments],
        cwd=ROOT,
        env=clean_environment() | {"PYTHONPATH": str(ROOT), "COLUMNS": "100"},
        input=stdin,
        capture_output=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("", "segment"),
        ("serve", "--port"),
        ("gateway", "FCNSERVE_"),
        ("worker", "TorchServe"),
        ("segment", "--output"),
        ("model", "package"),
        ("model package", "model.yaml"),
        ("model convert", "--at-once"),
    ],
)
def test_help_is_printed_without_torch(command: str, expected: str) -> None:
    result = fcnserve(*command.split(), "--help")
    assert result.returncode == 0, result.stderr.decode()
    assert expected in result.stdout.decode()


def test_segment_writes_what_the_api_answers(
    server: Server, cat: bytes, cat_mask: bytes, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    result = fcnserve("segment", str(CAT), str(ASTRONAUT), "-o", str(out), "--url", server.url)
    assert result.returncode == 0, result.stderr.decode()
    assert (out / "cat.png").read_bytes() == cat_mask
    assert (out / "astronaut.png").read_bytes() == server.segment(ASTRONAUT.read_bytes())


def test_segment_reads_and_writes_streams(server: Server, cat: bytes) -> None:
    result = fcnserve(
        "segment", "-", "-o", "-", "--output", "overlay", "--url", server.url, stdin=cat
    )
    assert result.returncode == 0, result.stderr.decode()
    assert result.stdout == server.segment(cat, output="overlay")
    assert size_of(result.stdout) == shown(cat).shape[:2]


def test_segment_reports_a_broken_photo_and_segments_the_others(
    server: Server, cat_mask: bytes, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(CAT.read_bytes()[:5000])
    out = tmp_path / "out"
    result = fcnserve("segment", str(broken), str(CAT), "-o", str(out), "--url", server.url)
    assert result.returncode == 11  # one has no answer
    assert "[broken_image]" in result.stderr.decode()
    assert "1 of 2 photos segmented" in result.stderr.decode()
    assert (out / "cat.png").read_bytes() == cat_mask
    assert not (out / "broken.png").exists()


def test_packing_a_folder_without_a_model_is_reported_in_a_line(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "service.cli.main", "model", "package", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert result.stderr == f"no {tmp_path}/model.yaml: a model is a folder that holds one\n"
