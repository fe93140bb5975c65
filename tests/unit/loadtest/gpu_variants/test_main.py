"""The comparison of variants prints a row for each pass, and an error in the place of one."""

import pytest
from torch import Tensor

from loadtest.gpu_variants.__main__ import main
from loadtest.gpu_variants.layers import PointwiseLinear
from tests.support.worker import MODEL

ARGUMENTS = ["--model", str(MODEL), "--device", "cpu", "--canvas", "96x64", "--photos", "1"]


def rows(captured: str) -> list[list[str]]:
    lines = [line.strip("| ").split(" | ") for line in captured.splitlines()]
    return [lines[0], *lines[2:]]


def test_each_variant_is_compared_with_the_first(capsys: pytest.CaptureFixture[str]) -> None:
    main([*ARGUMENTS, "--photos", "2", "--only", "served", "--only", "linear"])
    headings, *found = rows(capsys.readouterr().out)
    assert headings == ["variant", "photos", "ms", "photos_per_s", "change", "shared"]
    assert [row[:2] for row in found] == [[name, n] for name in ("served", "linear") for n in "12"]
    assert all(float(row[2]) > 0 for row in found)
    assert [row[4] for row in found[:2]] == ["0.0e+00", "0.0e+00"]
    assert all(0 < float(row[4]) < 2e-4 for row in found[2:])
    assert {row[5] for row in found} <= {"yes", "no"}


def test_a_variant_that_fails_leaves_the_others(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_layer: PointwiseLinear, _maps: Tensor) -> Tensor:
        raise RuntimeError("unable to find an engine\nfor this layer")

    monkeypatch.setattr(PointwiseLinear, "forward", fail)
    main([*ARGUMENTS, "--only", "linear", "--only", "served"])
    _, failed, served = rows(capsys.readouterr().out)
    assert failed[:3] == ["linear", "1", "unable to find an engine"]
    assert float(served[2]) > 0
