"""The report of a benchmark has its comparisons, and all rows."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from handlers.runtime.device import Device
from handlers.runtime.pass_costs import PassCosts
from loadtest.benchmark.candidates import NETWORK, ONE_AT_A_TIME, PIPELINE, STREAM
from loadtest.benchmark.comparisons import compare
from loadtest.benchmark.report import save
from loadtest.benchmark.result import BenchmarkOptions, Result, SetResult
from loadtest.benchmark.rows import row_of
from loadtest.benchmark.strategies import GROUPINGS, OURS
from loadtest.measure.service import GATEWAY
from loadtest.measure.slices import Slice

EMPTY = Slice(images=1, seconds=1, cpu_s={}, valid_pixels=0)


@pytest.fixture
def result() -> Result:
    """Two rounds of two sets; the service takes twice the CPU time of any loop."""

    def set_result(valid_pixels: int) -> SetResult:
        loop = replace(
            EMPTY, cpu_s={"loop": 1}, valid_pixels=valid_pixels, latencies_ms=((0, 5.0),)
        )
        http = replace(
            loop, cpu_s={"gateway": 0.5, "java": 0.25, "workers": 1.25}, latencies_ms=((0, 8.0),)
        )
        slices = {(NETWORK, name): [loop] * 2 for name in (*GROUPINGS, OURS)}
        slices |= {
            (PIPELINE, name): [loop] * 2 for name in (*GROUPINGS, OURS, STREAM, ONE_AT_A_TIME)
        }
        slices |= {(GATEWAY, name): [http] * 2 for name in (OURS, ONE_AT_A_TIME)}
        rows = {key: row_of(*key, both, None, 1e9, 1e10) for key, both in slices.items()}
        return SetResult(1e9, rows, slices)

    options = BenchmarkOptions(
        "net", "cpu", ("one", "mix"), 1, 8, 16, 2, 1.0, 0, "samples", served=True
    )
    device = Device(torch.device("cpu"), "fp32", 2)
    return Result(
        options, device, PassCosts(1, 0), 1e10, {"one": set_result(100), "mix": set_result(50)}
    )


def test_the_service_is_compared_with_bare_loops_and_mixed_sizes_with_one(result: Result) -> None:
    values = {(one.what, one.against.split(":")[0]): one.value for one in compare(result, "mix")}
    assert values["images/s, network, ours", "one by one"] == 1
    assert values["masks per CPU s, gateway", "bare loop"] == 0.5
    assert values["ms added to a single request", "pipeline"] == 3
    assert values["CPU ms a request, gateway and Java", "-"] == 750
    assert values["valid Mpx/s, gateway, ours", "one size"] == 0.5


def test_a_result_is_saved_as_a_page_and_as_json(result: Result, tmp_path: Path) -> None:
    page, stem = save(result, "mix", {"hardware": {"cores": 2}}, tmp_path)
    raw = json.loads(stem.with_suffix(".json").read_text())
    assert (raw["set"], raw["hardware"]["cores"], len(raw["rows"])) == ("mix", 2, 12)
    assert stem.with_suffix(".md").read_text() == page
    assert all(f"| {row['level']}" in page for row in raw["rows"])
