"""What `--resume` skips: answers of the same photo, options and model, whatever ended the run."""

import os
from pathlib import Path

import pytest

from service.client.done import DONE_FILE, DoneAnswers, photo_digest

PHOTO, MODEL, OPTIONS = photo_digest(b"photo"), "fcn@0123", {"output": "mask"}


def answered(folder: Path, name: str = "a/1.png", *, photo: str = PHOTO) -> str:
    """Write an answer, and its record as a run does that ends then."""
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(b"mask")
    done = DoneAnswers(folder, OPTIONS)
    done.add(str(target), photo, MODEL, 4)
    done.close()
    return str(target)


def known(folder: Path, options: dict[str, str] = OPTIONS) -> DoneAnswers:
    done = DoneAnswers(folder, options)
    done.read()
    return done


def test_an_answer_is_known_by_its_photo_options_and_model(tmp_path: Path) -> None:
    target = answered(tmp_path)
    assert known(tmp_path).holds(target, PHOTO, MODEL)
    assert not known(tmp_path).holds(target, photo_digest(b"other"), MODEL)
    assert not known(tmp_path).holds(target, PHOTO, "fcn@4567")
    assert not known(tmp_path, {"output": "mask", "classes": "cat"}).holds(target, PHOTO, MODEL)
    assert not known(tmp_path).holds(str(tmp_path / "b.png"), PHOTO, MODEL)


def test_the_folder_may_move_with_its_answers(tmp_path: Path) -> None:
    answered(tmp_path / "out")
    (tmp_path / "out").rename(tmp_path / "moved")
    assert known(tmp_path / "moved").holds(str(tmp_path / "moved/a/1.png"), PHOTO, MODEL)


def test_the_last_record_of_an_answer_counts(tmp_path: Path) -> None:
    target = answered(tmp_path)
    answered(tmp_path, photo=photo_digest(b"other"))
    assert not known(tmp_path).holds(target, PHOTO, MODEL)


@pytest.mark.parametrize("contents", [None, b"", b"mas"], ids=["deleted", "empty", "cut"])
def test_an_answer_that_is_not_complete_is_made_again(
    tmp_path: Path, contents: bytes | None
) -> None:
    target = answered(tmp_path)
    if contents is None:
        Path(target).unlink()
    else:
        Path(target).write_bytes(contents)
    assert not known(tmp_path).holds(target, PHOTO, MODEL)


def test_a_record_that_was_cut_anywhere_loses_one_answer_and_no_later_one(tmp_path: Path) -> None:
    answered(tmp_path, "1.png")
    length = (tmp_path / DONE_FILE).stat().st_size
    for kept in range(length - 1):
        folder = tmp_path / str(kept)
        names = [answered(folder, name) for name in ("1.png", "2.png")]
        os.truncate(folder / DONE_FILE, length + kept)
        names.append(answered(folder, "3.png"))
        done = known(folder)
        assert [done.holds(name, PHOTO, MODEL) for name in names] == [True, False, True]


@pytest.mark.parametrize("line", [b"[]", b"{}", b'"x"', b"\xff\xfe", b'{"answer": 1}', b"null"])
def test_a_line_that_is_no_record_is_skipped(tmp_path: Path, line: bytes) -> None:
    (tmp_path / DONE_FILE).write_bytes(line + b"\n")
    target = answered(tmp_path)
    assert known(tmp_path).holds(target, PHOTO, MODEL)
