"""Boards are drawn from any answer of Prometheus, an empty one too."""

import math
from pathlib import Path

import pytest
from PIL import Image

from deploy.grafana.boards import Query, boards
from deploy.grafana.prometheus import Prometheus, Series


class Canned(Prometheus):
    """Gives every query the same series."""

    def __init__(self, *series: Series) -> None:
        super().__init__("")
        self._series = list(series)

    def over(self, expr: str, start: float, end: float, step_s: float) -> list[Series]:
        return self._series


LABELS = {"code": "busy", "status": "429"}
STEADY = Series(LABELS, (0.0, 30.0, 60.0), (1.0, math.inf, 0.5))
BROKEN = Series({}, (0.0, 30.0), (math.nan, math.inf))


@pytest.mark.parametrize(
    "canned",
    [Canned(STEADY), Canned(), Canned(BROKEN)],
    ids=["data", "no series", "no number"],
)
def test_every_board_can_be_drawn(canned: Canned, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="drawing needs the extra bench")
    from deploy.grafana.plot import draw_board

    for board in boards():
        path = tmp_path / f"{board.name}.png"
        draw_board(board, canned, 0, 60, path)
        with Image.open(path) as image:
            assert image.width == 1600


def test_a_legend_contains_the_labels_values() -> None:
    assert STEADY.name("{{status}} {{code}}") == "429 busy"


def test_a_rate_covers_at_least_four_scrapes() -> None:
    query = Query("rate(x[$__rate_interval]) / $__range", "")
    assert query.over(5, 60) == "rate(x[20s]) / 60s"
    assert query.over(60, 60) == "rate(x[65s]) / 60s"


def test_an_unknown_variable_is_refused() -> None:
    with pytest.raises(ValueError, match="variable"):
        Query("up{job='$job'}", "").over(5, 60)
