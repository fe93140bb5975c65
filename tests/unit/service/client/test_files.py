"""The targets of `fcnserve segment`: names are checked before anything is sent, and existing files
keep their mode, owner, links and attributes.
"""

import os
import resource
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import get_args

import pytest

from service.client.files import SUFFIXES, OutputName, plan_jobs
from service.client.naming import BadNamesError
from service.client.write import is_stream, open_descriptor, write_answer

LONGEST = 255  # bytes of a file's name


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def names_in(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    file = tmp_path / "out" / "mask.png"
    file.parent.mkdir()
    file.write_bytes(b"old")
    return file


def test_a_new_file_gets_the_mode_of_the_umask(tmp_path: Path) -> None:
    with umask(0o027):
        write_answer(tmp_path / "new" / "mask.png", b"new")
    assert stat.S_IMODE((tmp_path / "new" / "mask.png").stat().st_mode) == 0o640


@pytest.mark.parametrize("mode", [0o600, 0o666, 0o664, 0o755], ids=oct)
def test_a_file_that_is_replaced_keeps_its_mode(mask: Path, mode: int) -> None:
    mask.chmod(mode)
    with umask(0o022):
        write_answer(mask, b"new")
    assert (mask.read_bytes(), stat.S_IMODE(mask.stat().st_mode)) == (b"new", mode)


@pytest.mark.parametrize("relative", [True, False], ids=["relative", "absolute"])
def test_a_link_stays_a_link_and_its_file_is_written(
    mask: Path, tmp_path: Path, relative: bool
) -> None:
    first, second = tmp_path / "first.png", tmp_path / "second.png"
    first.symlink_to("out/mask.png" if relative else mask)
    second.symlink_to("first.png")
    write_answer(second, b"new")
    assert second.readlink() == Path("first.png")
    assert first.is_symlink()
    assert mask.read_bytes() == b"new"
    assert names_in(mask.parent) == ["mask.png"]


def test_a_link_to_a_missing_file_makes_the_file(tmp_path: Path) -> None:
    link = tmp_path / "link.png"
    link.symlink_to("new/mask.png")
    write_answer(link, b"new")
    assert link.is_symlink()
    assert (tmp_path / "new" / "mask.png").read_bytes() == b"new"


def test_all_hard_links_of_a_file_show_the_new_answer(mask: Path, tmp_path: Path) -> None:
    (tmp_path / "other.png").hardlink_to(mask)
    write_answer(mask, b"new")
    assert (tmp_path / "other.png").read_bytes() == b"new"
    assert mask.samefile(tmp_path / "other.png")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write what is read-only")
def test_a_read_only_file_is_not_replaced(mask: Path) -> None:
    mask.chmod(0o444)
    with pytest.raises(PermissionError):
        write_answer(mask, b"new")
    assert mask.read_bytes() == b"old"


def test_extended_attributes_are_kept(mask: Path) -> None:
    try:
        os.setxattr(mask, "user.origin", b"camera")
    except OSError:
        pytest.skip("this file system has none")
    write_answer(mask, b"new")
    assert os.getxattr(mask, "user.origin") == b"camera"
    assert mask.read_bytes() == b"new"


@pytest.mark.parametrize("length", [244, 250, LONGEST])
def test_a_name_may_have_the_maximum_length_of_the_file_system(tmp_path: Path, length: int) -> None:
    file = tmp_path / ("m" * (length - 4) + ".png")
    for body in (b"first", b"second"):
        write_answer(file, body)
        assert file.read_bytes() == body
    assert names_in(tmp_path) == [file.name]


def test_a_failed_rename_leaves_no_draft(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"File name too long: '.*mmm\.png'"):
        write_answer(tmp_path / ("m" * LONGEST + ".png"), b"new")
    with pytest.raises(IsADirectoryError):
        write_answer(tmp_path, b"new")
    assert names_in(tmp_path) == []


def test_a_write_that_fails_leaves_the_old_answer_and_no_draft(mask: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))  # fails as a full disk does
    try:
        with pytest.raises(OSError, match="File too large"):
            write_answer(mask, bytes(2000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert mask.read_bytes() == b"old"
    assert names_in(mask.parent) == ["mask.png"]


def test_a_device_is_written_through(tmp_path: Path) -> None:
    link = tmp_path / "link.png"
    link.symlink_to("/dev/null")
    for target in (Path("/dev/null"), link):
        write_answer(target, b"new")
        assert stat.S_ISCHR(target.stat().st_mode)
    assert link.is_symlink()
    with pytest.raises(OSError, match="No space left on device: '/dev/full'"):
        write_answer(Path("/dev/full"), b"new")


def test_a_fifo_is_written_through(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(fifo.read_bytes()))
    reader.start()
    write_answer(fifo, b"new")
    reader.join(60)
    assert read == [b"new"]
    assert stat.S_ISFIFO(fifo.stat().st_mode)


@pytest.mark.parametrize("name", ["/dev/fd/{}", "/proc/self/fd/{}", "link"])
def test_a_descriptor_is_written_at_its_position(tmp_path: Path, name: str) -> None:
    file = tmp_path / "log"
    file.write_bytes(b"before ")
    with file.open("ab") as opened:
        target = Path(name.format(opened.fileno()))
        if name == "link":
            target = tmp_path / "link"
            target.symlink_to(f"/dev/fd/{opened.fileno()}")
        write_answer(target, b"new ")
        write_answer(target, b"newer")
    assert file.read_bytes() == b"before new newer"


def test_the_standard_streams_are_found_by_all_their_names(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("/dev/stdout")
    assert [open_descriptor(Path(each)) for each in ("/dev/stdout", "/dev/fd/1", link)] == [1] * 3
    assert open_descriptor(Path("/dev/stderr")) == 2
    assert open_descriptor(Path("/dev/null")) is None
    link.unlink()
    link.symlink_to("link")  # to itself
    assert not is_stream(link)


def test_two_photos_of_one_name_are_rejected() -> None:
    with pytest.raises(BadNamesError, match=r"a/x\.jpg and b/x\.jpg would both be out/x\.jpg\.png"):
        plan_jobs(["a/x.jpg", "b/x.jpg"], "out", "mask")
    with pytest.raises(BadNamesError, match=r"a/x\.jpg is named twice"):
        plan_jobs(["a/x.jpg", "a/x.jpg"], "out", "mask")


@pytest.mark.parametrize("how", ["itself", "a link", "a hard link"])
def test_a_photo_is_never_overwritten(tmp_path: Path, how: str) -> None:
    photo = tmp_path / "photos" / "x.png"
    photo.parent.mkdir()
    photo.write_bytes(b"photo")
    out = photo if how == "itself" else tmp_path / "x.png"
    if how == "a link":
        out.symlink_to(photo)
    if how == "a hard link":
        out.hardlink_to(photo)
    with pytest.raises(BadNamesError, match="would overwrite the photo"):
        plan_jobs([str(photo)], str(out.parent), "mask")


def test_two_targets_that_link_to_one_file_are_rejected(tmp_path: Path) -> None:
    (tmp_path / "a.png").symlink_to("b.png")
    with pytest.raises(BadNamesError, match="would both be"):
        plan_jobs(["a.jpg", "b.jpg"], str(tmp_path), "mask")


@pytest.mark.parametrize("out", ["-", "/dev/null", "/dev/stdout", "there.png", "new.png"])
def test_several_answers_need_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("there.png").touch()
    with pytest.raises(BadNamesError, match="name a folder"):
        plan_jobs(["a.jpg", "b.jpg"], out, "mask")


@pytest.mark.parametrize(
    ("output", "out", "message"),
    [
        ("mask", "m.jpg", r"m\.jpg: mask is written as \.png, not \.jpg; name a file, -o m\.png"),
        ("mask", "m.webp", r"not \.webp; name a file, -o m\.png, or a folder, -o m/"),
        ("mask", "masks", r"not without a suffix; name a file, -o masks\.png, or .* -o masks/"),
        ("mask", ".png", "not without a suffix"),
        ("mask", "", "an empty name: mask is written as .png"),
        ("labels", "m.tif", r"labels is written as \.png, not \.tif"),
        ("confidence", "m.jpeg", r"confidence is written as \.png"),
        ("overlay", "m.gif", r"overlay is written as \.png or \.jpg or \.jpeg, not \.gif"),
        ("summary", "m.txt", r"summary is written as \.json, not \.txt"),
        ("rle", "m.geojson", r"rle is written as \.json, not \.geojson"),
        ("polygons", "m.png", r"polygons is written as \.geojson or \.json, not \.png"),
    ],
)
def test_the_suffix_of_another_format_is_rejected(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    output: OutputName,
    out: str,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadNamesError, match=message):
        plan_jobs(["a.jpg"], out, output)


@pytest.mark.parametrize("output", get_args(OutputName))
def test_every_output_accepts_its_suffixes_and_streams(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: OutputName
) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("fifo")
    Path("link").symlink_to("fifo")
    suffixed = [f"a{suffix}" for suffix in SUFFIXES[output]] + [f"A{SUFFIXES[output][0].upper()}"]
    for out in (*suffixed, "fifo", "link", "/dev/null", "/dev/stdout"):
        (job,) = plan_jobs(["p.webp"], out, output).jobs
        assert job.target == out


def test_invalid_targets_are_rejected_before_anything_is_sent(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for out in ("file/", "file/deep/m.png", "file/deep/"):
        with pytest.raises(BadNamesError, match="file is no folder"):
            plan_jobs(["a.jpg"], str(tmp_path / out) + "/" * out.endswith("/"), "mask")
    with pytest.raises(BadNamesError, match="/dev/fd/987 is closed"):
        plan_jobs(["a.jpg"], "/dev/fd/987", "mask")


def test_names_that_are_too_long_or_circular_links_raise_nothing(tmp_path: Path) -> None:
    (tmp_path / "circle.png").symlink_to("circle.png")
    for name in ("x" * 300 + ".png", str(tmp_path / "circle.png")):
        (job,) = plan_jobs([name], str(tmp_path / "m.png"), "mask").jobs
        assert job.source == name
