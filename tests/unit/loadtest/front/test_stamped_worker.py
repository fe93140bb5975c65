"""A stamped function does what it did."""

from loadtest.front.stamped_worker import around


def test_a_function_is_stamped_before_and_after_and_its_result_kept() -> None:
    events: list[str] = []

    def double(number: int) -> int:
        events.append("runs")
        return 2 * number

    assert around(double, events.append, "begins", "ends")(4) == 8
    assert events == ["begins", "runs", "ends"]
