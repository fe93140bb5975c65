"""The figures of a stage leave its first part out, and count requests by the time they were due."""

import pytest

from loadtest.capacity.figures import MachineUsage, figures_of
from loadtest.measure.process_sampler import ProcessSamples
from loadtest.traffic.shapes import LoadStage
from tests.support.load_runs import logged, sample, using


def test_the_first_fifth_of_a_stage_is_left_out() -> None:
    requests = [
        *(logged(100 + n / 10, ms=900) for n in range(20)),
        *(logged(102 + n / 10) for n in range(80)),
    ]
    found = figures_of(LoadStage(10, 0, 10), 100, requests, ProcessSamples())
    assert found.seconds == 8
    assert found.offered == pytest.approx(10)
    assert found.ms["p99"] == 50


def test_masks_count_in_the_stage_they_arrive_in_and_latency_where_requests_were_due() -> None:
    requests = [
        logged(103, ms=1000, images=4),
        logged(109, ms=5000),
        logged(105, outcome="429 busy"),
    ]
    found = figures_of(LoadStage(1, 0, 10), 100, requests, ProcessSamples())
    assert found.masks * found.seconds == pytest.approx(4)  # the second arrived after the stage
    assert found.ms["p99"] == 5000  # and counts as slow
    assert found.errors == {"429 busy": 1}
    assert found.error_share == pytest.approx(1 / 3)


def test_batches_fill_and_cpu_are_differences_of_two_samples() -> None:
    samples = ProcessSamples([sample(103, 10), sample(105, 20), sample(109, 40)])
    usage = figures_of(LoadStage(1, 0, 10), 100, [], samples).usage
    assert usage.batch_images == 3
    assert usage.fill == pytest.approx(0.8)
    assert usage.cpu == {"workers": 1.0}
    assert usage.machine_cpu == 2.0
    assert usage.resident_mb == {"workers": 209}


def test_a_stage_without_samples_has_no_cpu() -> None:
    assert (
        figures_of(LoadStage(1, 0, 10), 100, [], ProcessSamples([sample(99)])).usage
        == MachineUsage()
    )


def test_other_programs_of_a_machine_elsewhere_are_unknown() -> None:
    assert using(2.0, client=0.1).other_programs_cpu is None
