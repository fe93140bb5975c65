"""Lines that are added to a file stay whole, whatever came before."""

import os
from pathlib import Path

import pytest

from service.client import lines
from service.client.lines import LineFile


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(None, b"new\n", id="no file"),
        pytest.param(b"", b"new\n", id="empty"),
        pytest.param(b"old\n", b"old\nnew\n", id="whole"),
        pytest.param(b"old\nhal", b"old\nhal\nnew\n", id="half a line"),
    ],
)
def test_a_line_never_continues_another(tmp_path: Path, before: bytes | None, after: bytes) -> None:
    file = tmp_path / "lines"
    if before is not None:
        file.write_bytes(before)
    added(file, b"new", append=True)
    assert file.read_bytes() == after
    added(file, b"new", append=False)
    assert file.read_bytes() == b"new\n"


def test_after_half_a_line_on_a_full_disk_the_next_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = LineFile.open(tmp_path / "lines", append=True)

    def full(descriptor: int, body: bytes) -> None:
        os.write(descriptor, body[:3])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(lines, "write_all", full)
        with pytest.raises(OSError, match=r"No space.*lines"):
            opened.add(b"first")
    opened.add(b"second")
    opened.add(b"third")
    opened.close()
    assert (tmp_path / "lines").read_bytes() == b"fir\nsecond\nthird\n"


def test_a_fifo_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    reader = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    added(tmp_path / "fifo", b"new", append=True)
    assert os.read(reader, 100) == b"new\n"
    os.close(reader)


def added(file: Path, line: bytes, *, append: bool) -> None:
    opened = LineFile.open(file, append=append)
    opened.add(line)
    opened.close()
