"""A row has the sums, ratios and extremes of its slices."""

from dataclasses import replace

import pytest

from loadtest.benchmark.rows import Check, row_of
from loadtest.measure.slices import Slice

EMPTY = Slice(images=1, seconds=1, cpu_s={}, valid_pixels=0)


def test_a_row_sums_up_its_slices() -> None:
    one = Slice(
        images=10,
        seconds=2,
        cpu_s={"gateway": 1, "workers": 3},
        valid_pixels=1_000_000,
        counted_pixels=1_000_000,
        padded_pixels=1_500_000,
        batches=2,
        batched_images=10,
        passes=5,
        passed_images=10,
        stages_ms={"decode": 20, "forward": 100},
        latencies_ms=((0, 5.0), (1, 7.0)),
        differing=1,
        joules=30,
        peak_bytes={"gateway": 1_000_000, "gpu": 9_000_000},
    )
    other = replace(EMPTY, images=30, seconds=2, cpu_s={"workers": 4}, peak_bytes=one.peak_bytes)
    row = row_of("gateway", "ours", [one, other], None, flops_per_image=2e9, flops_per_s=1e11)
    assert row.images_per_s == 10
    assert row.valid_megapixels_per_s == 0.25
    assert row.cpu_s_per_mask == pytest.approx(8 / 40)
    assert row.cpu_ms_per_mask_by_process == {"gateway": 25, "workers": 175}
    assert (row.padding_ratio, row.images_per_batch, row.images_per_pass) == (1.5, 5, 2)
    assert row.stages_ms == {"decode": 0.5, "forward": 2.5}
    assert (row.p50_ms, row.p99_ms) == (5, 7)
    assert (row.differing, row.compared, row.changed_pixels_percent) == (1, 40, None)
    assert row.peak_mb == 1  # a GPU's memory does not count
    assert row.limit_share == pytest.approx(0.2)
    assert row.joules_per_mask is None  # one slice has no energy
    alone = row_of("gateway", "ours", [one], None, flops_per_image=1, flops_per_s=1)
    assert alone.joules_per_mask == 3


def test_a_separate_check_replaces_the_answers_compared_on_arrival() -> None:
    row = row_of("network", "ours", [EMPTY], Check(48, 3, 0.5), 1, 1)
    assert (row.compared, row.differing, row.changed_pixels_percent) == (48, 3, 0.5)
    assert row.padding_ratio is None
