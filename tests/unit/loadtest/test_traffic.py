"""Load-test traffic repeats to the byte, has every kind of request, and is checked in earnest."""

import dataclasses
import io
import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image, ImageOps

from loadtest.traffic.album import SAMPLE_SIZES, SAMPLES, Picture, read_album
from loadtest.traffic.checks import WrongAnswerError, check, problem_code, read_mixed, read_palette
from loadtest.traffic.environment import Traffic
from loadtest.traffic.make_album import FORMATS, draw_album, make_album, own_pictures, save_album
from loadtest.traffic.record import RIGHT, Recorder, Row, read_rows
from loadtest.traffic.requests import BATCH_IMAGES, MIX, Errand, draw_errands, errand
from loadtest.traffic.shapes import SHAPES, stage_at

COLOURS = [[0, 0, 0], [128, 0, 0], [0, 128, 0]]
CLASSES = read_palette({"palette": COLOURS})
SIZE = (4, 6)


@pytest.fixture(scope="module")
def album() -> list[Picture]:
    return draw_album(24, 0)


def png(size: tuple[int, int], mode: str = "P", colours: list[list[int]] = COLOURS) -> bytes:
    image = Image.new(mode, size[::-1])
    if mode == "P":
        image.putpalette([value for colour in colours for value in colour])
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def asked(kind: str, images: int = BATCH_IMAGES) -> Errand:
    return errand(kind, [Picture(f"{n}.jpg", "image/jpeg", SIZE, b"photo") for n in range(images)])


def test_an_album_is_the_same_every_time_and_another_with_another_seed(
    album: list[Picture],
) -> None:
    assert draw_album(24, 0) == album
    assert draw_album(24, 1) != album


def test_an_album_s_sizes_are_those_that_a_viewer_shows(album: list[Picture]) -> None:
    for picture in album:
        with Image.open(io.BytesIO(picture.body)) as image:
            shown = ImageOps.exif_transpose(image)
            assert (shown.height, shown.width) == picture.size, picture.name
            assert image.get_format_mimetype() == picture.media_type


def test_an_album_has_every_format_and_photos_that_lie_on_their_side(
    album: list[Picture],
) -> None:
    kinds = {picture.name.partition("-")[2].partition(".")[0] for picture in album}
    assert kinds == set(FORMATS)
    turned = [picture for picture in album if "turned" in picture.name]
    for picture in turned:
        with Image.open(io.BytesIO(picture.body)) as image:
            assert (image.width, image.height) == picture.size


def test_an_album_survives_its_folder(album: list[Picture], tmp_path: Path) -> None:
    save_album(album, tmp_path)
    assert read_album(tmp_path) == album


def test_without_an_album_the_sample_photos_have_the_sizes_that_are_said() -> None:
    for name, (height, width) in SAMPLE_SIZES.items():
        with Image.open(SAMPLES / name) as image:
            assert (image.width, image.height) == (width, height)
    assert [picture.name for picture in read_album(Path("/nowhere"))] == list(SAMPLE_SIZES)


def test_photos_of_one_s_own_are_sent_as_they_are(album: list[Picture], tmp_path: Path) -> None:
    save_album(album, tmp_path)
    assert list(own_pictures(tmp_path)) == sorted(album, key=lambda picture: picture.name)


def test_a_folder_without_photos_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="there is no JPEG"):
        make_album(tmp_path, tmp_path / "out")


def test_errands_are_the_same_every_time_and_have_every_kind_in_its_share(
    album: list[Picture],
) -> None:
    errands = draw_errands(album)
    assert draw_errands(album) == errands
    counts = Counter(each.name for each in errands)
    for kind, share in MIX.items():
        assert counts[kind] == share * len(errands) / 100, kind
    assert counts["mask"] == max(counts.values())


def test_without_a_mix_all_errands_are_masks_and_each_photo_is_sent(album: list[Picture]) -> None:
    errands = draw_errands(album, {})
    assert {each.name for each in errands} == {"mask"}
    assert {each.body for each in errands} == {picture.body for picture in album}


def test_a_mask_of_another_size_is_wrong() -> None:
    assert check(asked("mask"), "image/png", png(SIZE), CLASSES) == [png(SIZE)]
    with pytest.raises(WrongAnswerError, match="size"):
        check(asked("mask"), "image/png", png(SIZE[::-1]), CLASSES)


def test_a_mask_with_another_palette_is_wrong() -> None:
    with pytest.raises(WrongAnswerError, match="palette"):
        check(asked("mask"), "image/png", png(SIZE, colours=COLOURS[::-1]), CLASSES)


@pytest.mark.parametrize(("output", "mode"), [("labels", "L"), ("confidence", "LA")])
def test_a_png_of_another_kind_is_wrong(output: str, mode: str) -> None:
    check(asked(output), "image/png", png(SIZE, mode), CLASSES)
    with pytest.raises(WrongAnswerError, match="colour type"):
        check(asked(output), "image/png", png(SIZE), CLASSES)


def test_another_media_type_is_wrong() -> None:
    with pytest.raises(WrongAnswerError, match=r"media type text/html, not image/png"):
        check(asked("mask"), "text/html; charset=utf-8", b"<html>", CLASSES)


def test_what_is_no_png_is_wrong() -> None:
    with pytest.raises(WrongAnswerError, match="no PNG"):
        check(asked("mask"), "image/png", b"\xff\xd8 a JPEG", CLASSES)


@pytest.mark.parametrize("output", ["rle", "summary"])
def test_json_about_another_size_is_wrong(output: str) -> None:
    body = json.dumps({"size": [1, 2]}).encode()
    with pytest.raises(WrongAnswerError, match="size"):
        check(asked(output), "application/json", body, CLASSES)


def mixed(*parts: tuple[str, bytes]) -> bytes:
    joined = b"".join(
        b"--b\r\nContent-Type: " + media_type.encode() + b"\r\n\r\n" + body + b"\r\n"
        for media_type, body in parts
    )
    return joined + b"--b--\r\n"


def test_a_batch_s_masks_are_looked_at_one_by_one() -> None:
    right = png(SIZE)
    body = mixed(("image/png", right), ("image/png", right))
    multipart = "multipart/mixed; boundary=b"
    assert check(asked("mask batch", 2), multipart, body, CLASSES) == [right, right]
    with pytest.raises(WrongAnswerError, match="2 answers to 3 images"):
        check(asked("mask batch", 3), multipart, body, CLASSES)


def test_an_image_s_problem_in_a_batch_is_wrong() -> None:
    problem = json.dumps({"code": "broken_image"}).encode()
    body = mixed(("image/png", png(SIZE)), ("application/problem+json", problem))
    with pytest.raises(WrongAnswerError, match="broken_image"):
        read_mixed('multipart/mixed; boundary="b"', body)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"code": "busy"}', "busy"),
        (b"<html>", "no problem+json"),
        (b"[1]", "no problem+json"),
        (b"{}", "no code"),
    ],
    ids=["problem", "no JSON", "a list", "without a code"],
)
def test_a_problem_is_known_by_its_code(body: bytes, code: str) -> None:
    assert problem_code(body) == code


def test_rows_survive_their_file(tmp_path: Path) -> None:
    row = Row(12.5, 0.25, 33.5, "mask form", RIGHT, 1, {"decode": 1.5, "forward": 20.25})
    refused = dataclasses.replace(row, outcome="429 busy", stages_ms={})
    recorder = Recorder(tmp_path / "rows.csv")
    recorder.begin(10.5)
    recorder.add(row)
    recorder.add(refused)
    recorder.close()
    assert read_rows(tmp_path / "rows.csv") == (10.5, [row, refused])


@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_s_stages_follow_each_other_and_fill_its_time(name: str) -> None:
    shape = SHAPES[name]
    stages = shape.stages(50, 30)
    assert stages[0].begins_s == 0
    assert all(a.ends_s == b.begins_s for a, b in pairwise(stages))
    assert stages[-1].ends_s == pytest.approx(30)
    assert [stage.users for stage in stages] == [max(1, round(50 * x)) for x in shape.levels]


def test_an_overload_is_ten_times_the_capacity() -> None:
    assert max(stage.users for stage in SHAPES["overload"].stages(80)) == 800


def test_a_second_belongs_to_one_stage_and_none_when_all_are_over() -> None:
    stages = SHAPES["steps"].stages(10, 90)
    assert stage_at(stages, 0) == stages[0]
    assert stage_at(stages, stages[0].ends_s) == stages[1]
    assert stage_at(stages, 91) is None


def test_locust_is_told_what_was_wanted(tmp_path: Path) -> None:
    traffic = Traffic(album=tmp_path, masks_only=True, key="secret", log=tmp_path / "rows.csv")
    shaped = traffic.shaped("spike", 33.5, 12)
    assert shaped.loop == "open"
    assert Traffic.told(shaped.environment()) == shaped


def test_a_shape_that_does_not_exist_is_refused() -> None:
    with pytest.raises(SystemExit, match="LOADTEST_SHAPE=stairs is none of"):
        Traffic.told({"LOADTEST_SHAPE": "stairs"})
