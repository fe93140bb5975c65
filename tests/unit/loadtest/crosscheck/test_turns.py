"""The medians of the turns."""

from loadtest.crosscheck.turns import LOCUST, WRK, Turn, medians


def turn(program: str, masks_per_s: float, other_answers: int = 0) -> Turn:
    return Turn(program, masks_per_s, 10, 20, other_answers, 1)


def test_a_figure_is_the_median_of_the_turns_and_other_answers_are_summed() -> None:
    found = medians([turn(LOCUST, 70, 1), turn(WRK, 80), turn(LOCUST, 10, 2), turn(LOCUST, 60)])
    assert found == {LOCUST: turn(LOCUST, 60, 3), WRK: turn(WRK, 80)}
