"""A replica's measured speed and the number of requests that it accepts, without time passing."""

import pytest

from service.backend.replicas.speed import HALF_LIFE_S, Speed
from service.backend.replicas.window import FIRST_PAUSE_S, GROWTH, MAX_PAUSE_S, Window


def test_a_speed_is_the_work_answered_per_second() -> None:
    speed = Speed()
    for second in range(20):
        speed.add(work_s=3.0, seconds=1.0, now=second)
    assert speed.value == pytest.approx(3.0, rel=0.02)


def test_a_replica_that_slows_down_shows_it_within_one_answer_of_its_length() -> None:
    speed = Speed()
    for second in range(20):
        speed.add(1.0, 1.0, second)
    speed.add(1.0, 20.0, 40.0)
    assert speed.value < 0.1


def test_a_replica_that_was_slow_is_expected_to_be_as_the_others_after_a_while() -> None:
    speed = Speed()
    speed.add(1.0, 10.0, 0.0)
    assert speed.value < 0.2
    speed.forget(12 * HALF_LIFE_S, expected=2.0)
    assert speed.value == pytest.approx(2.0, rel=0.1)


def test_refusals_halve_the_requests_and_answers_bring_them_back() -> None:
    window = Window()
    assert window.refused(in_flight=8) == FIRST_PAUSE_S
    assert window.requests == 4
    assert window.refused(in_flight=8) == 2 * FIRST_PAUSE_S
    assert window.requests == 2
    answers = 0
    while window.requests < 8:
        window.answered(limit=8)
        answers += 1
    assert answers == pytest.approx(sum(range(2, 8)) / GROWTH, rel=0.2)
    assert window.requests == float("inf")


def test_a_pause_ends_and_one_request_may_always_be_sent() -> None:
    window = Window()
    assert max(window.refused(1) for _ in range(100)) == MAX_PAUSE_S
    assert window.requests == 1


def test_gateways_that_share_a_queue_are_refused_seldom_and_each_gets_a_share() -> None:
    """Four gateways, each allowed all 16 requests of a queue that has room for 8 of them all."""
    windows = [Window() for _ in range(4)]
    answered, refused = [0] * 4, 0
    for turn in range(400):
        in_flight, stopped = [0] * 4, set[int]()
        for step in range(turn, turn + 4 * 16):
            at = step % 4
            if at in stopped or in_flight[at] + 1 > windows[at].requests:
                continue
            if sum(in_flight) == 8:
                refused += 1
                stopped.add(at)
                windows[at].refused(in_flight[at] + 1)
            else:
                in_flight[at] += 1
        for at, count in enumerate(in_flight):
            answered[at] += count
            for _ in range(count):
                windows[at].answered(limit=16)
    assert refused < sum(answered) / 8
    assert min(answered) > sum(answered) / 8
