"""Token buckets: their size, how tokens return, and when a key has to wait."""

import pytest

from service.auth.keys import MAX_KEYS
from service.auth.rate_limit import RateLimiter
from service.auth.shared_table import SLOTS
from service.errors import RateLimitedError


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def spent(rates: RateLimiter, key: str, tries: int = 100) -> int:
    """Return how many of the tries are accepted."""
    done = 0
    for _ in range(tries):
        try:
            rates.spend(key)
        except RateLimitedError:
            continue
        done += 1
    return done


def test_a_burst_is_accepted_and_then_the_rate(clock: Clock) -> None:
    rates = RateLimiter(2, 5, now=clock)
    assert spent(rates, "a") == 5
    clock.now_s += 3
    assert spent(rates, "a") == 5  # six have returned, five are kept
    clock.now_s += 1
    assert spent(rates, "a") == 2


def test_one_keys_requests_cost_no_other_key(clock: Clock) -> None:
    rates = RateLimiter(1, 3, now=clock)
    spent(rates, "a")
    assert spent(rates, "b") == 3


def test_a_burst_below_one_accepts_one(clock: Clock) -> None:
    rates = RateLimiter(0.25, 0.25, now=clock)
    assert spent(rates, "a") == 1
    clock.now_s += 4
    assert spent(rates, "a") == 1


@pytest.mark.parametrize(
    ("per_s", "passed_s", "wait_s"),
    [(10, 0, 1), (0.5, 0, 2), (0.1, 0, 10), (0.1, 4, 6), (0.01, 0, 100)],
)
def test_retry_after_is_the_time_to_the_next_token(
    clock: Clock, per_s: float, passed_s: float, wait_s: int
) -> None:
    rates = RateLimiter(per_s, 1, now=clock)
    rates.spend("a")
    clock.now_s += passed_s
    with pytest.raises(RateLimitedError) as error:
        rates.spend("a")
    assert error.value.retry_after_s == wait_s
    clock.now_s += wait_s
    rates.spend("a")


def test_a_batchs_images_are_charged_before_the_next_request(clock: Clock) -> None:
    rates = RateLimiter(2, 4, now=clock)
    rates.spend("a")
    rates.charge("a", 31)
    with pytest.raises(RateLimitedError) as error:
        rates.spend("a")
    assert error.value.retry_after_s == 15  # from 4 - 32 up to 1, at 2 a second
    clock.now_s += 15
    assert spent(rates, "a") == 2  # 14.5 s would have returned one


@pytest.mark.parametrize("per_s", [3, 7, 0.3, 1e6], ids=str)
@pytest.mark.parametrize("up_s", [0, 1e7], ids=["fresh", "after-months"])
def test_a_burst_is_accepted_to_the_last_token(clock: Clock, per_s: float, up_s: float) -> None:
    clock.now_s = up_s
    assert spent(RateLimiter(per_s, 50, now=clock), "a", 50) == 50


def test_unused_keys_make_room_for_others(clock: Clock) -> None:
    rates = RateLimiter(1, 1, now=clock)
    for number in range(SLOTS + 100):
        rates.spend(str(number))
        clock.now_s += 1


def test_a_full_table_accepts_new_keys(clock: Clock) -> None:
    rates = RateLimiter(0.001, 1, now=clock)
    for number in range(SLOTS + 3):
        rates.spend(str(number))
    assert spent(rates, str(SLOTS + 2)) == 0


def test_each_key_has_its_own_bucket(clock: Clock) -> None:
    rates = RateLimiter(0.001, 2, now=clock)
    keys = [str(number) for number in range(2 * MAX_KEYS)]
    assert [spent(rates, key, 3) for key in keys] == [2] * len(keys)
