"""The progress of `fcnserve segment` without a terminal: a line at intervals."""

import io

import pytest
from rich.console import Console

from service.cli.segment_progress import progress


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def lines(photos: int, photo_s: float) -> list[str]:
    """Return what a run prints whose photos take so long each."""
    text, clock = io.StringIO(), Clock()
    console = Console(file=text, force_terminal=False, soft_wrap=True)
    with progress(console, photos, clock) as advance:
        for _ in range(photos):
            clock.now_s += photo_s
            advance()
    return text.getvalue().splitlines()


@pytest.mark.parametrize(
    ("photos", "photo_s", "expected"),
    [
        pytest.param(1, 1000, [], id="one photo"),
        pytest.param(9, 1, [], id="a short run"),
        pytest.param(19, 1, ["10 of 19 photos, 1.0 a second, 9 s left"], id="seconds"),
        pytest.param(2, 60, ["1 of 2 photos, 0.0 a second, 1 min left"], id="minutes"),
        pytest.param(2, 9000, ["1 of 2 photos, 0.0 a second, 2.5 h left"], id="hours"),
    ],
)
def test_a_line_says_every_ten_seconds_how_much_is_left(
    photos: int, photo_s: float, expected: list[str]
) -> None:
    assert lines(photos, photo_s) == expected
