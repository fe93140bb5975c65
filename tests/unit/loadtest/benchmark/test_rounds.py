"""A benchmark announces its duration."""

from loadtest.benchmark.result import BenchmarkOptions
from loadtest.benchmark.rounds import length_text


def test_the_duration_of_a_run_is_estimated() -> None:
    options = BenchmarkOptions(
        "net", "cpu", ("one", "mix"), 1, 8, 16, 2, 30.0, 0, "samples", served=True
    )
    text = length_text(options, 13)
    minutes = int(text.removeprefix("this takes about ").split()[0])
    assert 2 * 13 * 30 < 60 * minutes < 2 * 13 * 30 + 200
    assert "--seconds and --set" in text
