"""Candidates are compared round by round."""

from dataclasses import replace
from operator import attrgetter

from loadtest.benchmark.ratios import added_ms, lowest_ratio, paired_ratio
from loadtest.measure.slices import Slice

EMPTY = Slice(images=1, seconds=1, cpu_s={}, valid_pixels=0)


def test_strategies_are_compared_within_rounds_and_with_the_best_of_the_others() -> None:
    def slices(*images: int) -> list[Slice]:
        return [replace(EMPTY, images=each) for each in images]

    ours, speed = slices(10, 100, 30), attrgetter("images_per_s")
    assert paired_ratio(speed, ours, slices(20, 50, 10)) == 2
    others = {"slow": slices(5, 50, 10), "fast": slices(20, 100, 30)}
    assert lowest_ratio(speed, ours, others) == ("fast", 1)


def test_the_time_that_serving_adds_is_a_median_over_photos() -> None:
    bare = [(0, 10.0), (0, 12.0), (0, 11.0), (1, 100.0), (2, 50.0)]
    served = [(0, 15.0), (1, 103.0), (2, 59.0), (3, 1000.0)]
    assert added_ms(bare, served) == 4
    assert added_ms([], served) is None
