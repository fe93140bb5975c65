"""Folders of photos: which files are photos, and names under which no answer hides another."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from handlers.shared.photo import DEFAULT_FORMATS, OPTIONAL_FORMATS
from service.client.done import DoneAnswers
from service.client.files import plan_jobs
from service.client.naming import PHOTO_SUFFIXES, BadNamesError, named_answers

Made = Callable[..., str]


@pytest.fixture
def make(tmp_path: Path) -> Made:
    """Make a folder of files; returns its path."""

    def make(folder: str, *names: str) -> str:
        for name in names:
            file = tmp_path / folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(b"photo")
        return str(tmp_path / folder)

    return make


def answers(*photos: str, out: str = "out") -> dict[str, str]:
    return dict(named_answers(photos, out, ".png"))


def test_a_folder_is_taken_with_its_folders_and_keeps_their_names(make: Made) -> None:
    folder = make("photos", "1.jpg", "a/1.jpg", "a/b/1.JPEG", "b/1.webp")
    assert answers(folder) == {
        f"{folder}/1.jpg": "1.png",
        f"{folder}/a/1.jpg": "a/1.png",
        f"{folder}/a/b/1.JPEG": "a/b/1.png",
        f"{folder}/b/1.webp": "b/1.png",
    }


def test_photos_that_differ_in_their_suffixes_keep_them(make: Made) -> None:
    folder = make("photos", "1.jpg", "1.png", "2.jpg", "2.jpg.webp", "3.jpg")
    names = {Path(photo).name: name for photo, name in answers(folder).items()}
    assert names == {
        "1.jpg": "1.jpg.png",
        "1.png": "1.png.png",
        "2.jpg": "2.png",
        "2.jpg.webp": "2.jpg.webp.png",  # 2.jpg.png could be the answer for 2.jpg
        "3.jpg": "3.png",
    }
    assert answers("x/1.jpg", "x/1.png") == {"x/1.jpg": "1.jpg.png", "x/1.png": "1.png.png"}


def test_folders_among_several_arguments_keep_their_own_names(make: Made) -> None:
    one, two = make("one", "1.jpg"), make("two", "1.jpg", "a/1.jpg")
    assert sorted(answers(one, two, "3.jpg").values()) == [
        "3.png",
        "one/1.png",
        "two/1.png",
        "two/a/1.png",
    ]


def test_other_files_hidden_ones_and_the_folder_of_the_answers_are_no_photos(
    make: Made, tmp_path: Path
) -> None:
    names = ("1.jpg", "notes.txt", ".2.jpg", ".thumbnails/1.jpg", "masks/1.png", "no_suffix")
    folder = make("photos", *names)
    (tmp_path / "photos" / "loop").symlink_to(folder)
    (tmp_path / "photos" / "3.jpg").mkdir()
    (tmp_path / "photos" / "4.jpg").symlink_to("1.jpg")
    found = answers(folder, out=f"{folder}/masks")
    assert sorted(found.values()) == ["1.png", "4.png"]


def test_photos_in_a_folder_have_a_suffix_of_a_format_that_the_service_reads() -> None:
    formats = DEFAULT_FORMATS | OPTIONAL_FORMATS
    suffixes = Image.registered_extensions().items()
    assert {each for each, name in suffixes if name.lower() in formats} == PHOTO_SUFFIXES


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("photos", "photos is the folder of the photos; name another"),
        ("m.png", "m.png names a file, and photos is a folder; name a folder"),
        ("-", "- takes one answer, not those of a folder"),
    ],
)
def test_the_answers_for_a_folder_need_a_folder_of_their_own(
    make: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str, message: str
) -> None:
    make("photos", "1.jpg")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadNamesError, match=message):
        plan_jobs(["photos"], out, "mask")


def test_a_folder_without_photos_is_refused(make: Made) -> None:
    with pytest.raises(BadNamesError, match=r"empty holds no photos; they end in \.apng"):
        answers(make("empty", "notes.txt"))


def test_a_link_that_leads_nowhere_is_a_photo_that_fails_and_not_one_that_is_missing(
    make: Made,
) -> None:
    folder = make("photos", "1.jpg")
    Path(folder, "gone.jpg").symlink_to("missing")
    Path(folder, "loop.jpg").symlink_to("loop.jpg")
    Path(folder, "up").symlink_to("..")
    os.mkfifo(Path(folder, "fifo.jpg"))
    assert {Path(photo).name for photo in answers(folder)} == {"1.jpg", "gone.jpg", "loop.jpg"}


def test_the_answers_of_another_run_are_no_photos(make: Made) -> None:
    """Of `-o photos/masks`, and of `photos/*.jpg -o photos`, before `photos -o photos/overlays`."""
    folder = make(
        "photos", "1.jpg", "1.png", "2.png", "masks/1.png", "masks/a/2.png", "masks/3.png"
    )
    for out, names in ((folder, ["1.png"]), (f"{folder}/masks", ["1.png", "a/2.png"])):
        done = DoneAnswers(Path(out), {})
        for name in names:
            done.add(f"{out}/{name}", "", "", len(b"photo"))
        done.close()
    assert list(answers(folder)) == [
        f"{folder}/{each}" for each in ("1.jpg", "2.png", "masks/3.png")
    ]
    Path(folder, "1.png").write_bytes(b"a photo that took the answer's place")
    assert f"{folder}/1.png" in answers(folder)
