"""The confirmation says how far apart the programs are, and hands wrk the photos as they are."""

from pathlib import Path

from loadtest.album import read_album
from loadtest.confirm import AIOHTTP, LOCUST, WRK, Burst, medians, write_list
from loadtest.confirm_report import markdown


def turn(program: str, masks_per_s: float, other_answers: int = 0) -> Burst:
    return Burst(program, masks_per_s, 10, 20, other_answers, 1)


def test_a_program_s_figure_is_the_median_of_its_turns_and_other_answers_add_up() -> None:
    found = medians([turn(LOCUST, 70, 1), turn(WRK, 80), turn(LOCUST, 10, 2), turn(LOCUST, 60)])
    assert found == {LOCUST: turn(LOCUST, 60, 3), WRK: turn(WRK, 80)}


def test_the_page_says_how_far_the_programs_are_apart() -> None:
    page = markdown([turn(LOCUST, 50), turn(AIOHTTP, 51), turn(WRK, 46)], {"clients": 16})
    assert "**Locust finds 50.0 masks/s; aiohttp, wrk differ from that by 8% at most.**" in page
    assert "| wrk     |    46.0 |       0.920 |" in page


def test_wrk_s_list_leads_to_the_photos(tmp_path: Path) -> None:
    album = read_album(Path("/nowhere"))
    lines = write_list(album, tmp_path).read_text().splitlines()
    for picture, line in zip(album, lines, strict=True):
        path, media_type = line.split("\t")
        assert (Path(path).read_bytes(), media_type) == (picture.body, picture.media_type)
