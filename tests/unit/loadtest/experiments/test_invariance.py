"""The invariance experiment finds exact passes exact."""

from pathlib import Path

from handlers.model_config import Ladder, Precision
from handlers.shared.frame import Frame
from loadtest.experiments.invariance import page, survey, with_random_weights


def test_shared_passes_are_compared_with_single_ones(tmp_path: Path) -> None:
    config = with_random_weights("fcn8s-lite0", tmp_path)
    batching = config.batching.model_copy(update={"ladder": Ladder(cpu=(64,))})
    narrow = config.model_copy(update={"batching": batching, "precision": Precision(cpu="fp32")})
    (found,) = survey(narrow, tmp_path, "cpu", largest=2)
    assert (found.canvas, found.images) == (Frame(64, 64), 2)
    assert found.exact.differing == found.autotuned.differing == 0
    assert found.exact.ms > 0
    text = page([found], {"network": "fcn8s-lite0"})
    assert "1 of 1 give the bits of single ones" in text
    assert "64x64" in text
