"""The confirmation says how far apart the programs are, and hands wrk the photos as they are."""

import dataclasses
import os
import time
from pathlib import Path

from loadtest.crosscheck.programs import AIOHTTP, LOCUST, WRK, Burst, write_list
from loadtest.crosscheck.report import markdown
from loadtest.crosscheck.run import family_cpu_s, medians, watched
from loadtest.traffic.album import read_album


def turn(program: str, masks_per_s: float, other_answers: int = 0) -> Burst:
    return Burst(program, masks_per_s, 10, 20, other_answers, 1)


def test_a_program_s_figure_is_the_median_of_its_turns_and_other_answers_add_up() -> None:
    found = medians([turn(LOCUST, 70, 1), turn(WRK, 80), turn(LOCUST, 10, 2), turn(LOCUST, 60)])
    assert found == {LOCUST: turn(LOCUST, 60, 3), WRK: turn(WRK, 80)}


def test_the_page_says_how_far_the_programs_are_apart() -> None:
    page = markdown([turn(LOCUST, 50), turn(AIOHTTP, 51), turn(WRK, 46)], {"clients": 16})
    assert "**Locust finds 50.0 masks/s; aiohttp, wrk differ from that by 8% at most.**" in page
    assert "| wrk     |    46.0 |       0.920 |" in page


def test_the_page_says_when_other_programs_had_the_machine() -> None:
    quiet, loud = turn(LOCUST, 50), dataclasses.replace(turn(WRK, 50), others_cpu=1e3)
    assert "measure again" not in markdown([quiet], {})
    assert "Other programs used up to 1000.0 cores" in markdown([quiet, loud], {})


def test_what_this_process_does_is_not_others_work() -> None:
    def busy() -> list[Burst]:
        while time.process_time() < busy_until:
            pass
        return [turn(LOCUST, 50)]

    busy_until = time.process_time() + 0.3
    before = family_cpu_s()
    (found,) = watched(busy)
    assert family_cpu_s() - before >= 0.25
    assert 0 <= found.others_cpu <= len(os.sched_getaffinity(0))


def test_wrk_s_list_leads_to_the_photos(tmp_path: Path) -> None:
    album = read_album(Path("/nowhere"))
    lines = write_list(album, tmp_path).read_text().splitlines()
    for picture, line in zip(album, lines, strict=True):
        path, media_type = line.split("\t")
        assert (Path(path).read_bytes(), media_type) == (picture.body, picture.media_type)
