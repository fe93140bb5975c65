"""Codec calls are made once each, in the calling thread where that would only wait for them."""

from functools import partial
from threading import Event, Lock, current_thread, main_thread

import pytest
import torch

from handlers.runtime.device import Device
from handlers.stages.codecs import SHORT_PIXELS, Codecs

WITHIN_S = 60.0
LONG = SHORT_PIXELS + 1


def codecs(threads: int = 1) -> Codecs:
    return Codecs(Device(torch.device("cpu"), "fp32", threads))


def is_main() -> bool:
    return current_thread() is main_thread()


def test_a_single_call_is_made_where_its_result_is_asked_for() -> None:
    (call,) = codecs().start([is_main], LONG)
    assert call.result()


def test_beside_a_caller_that_does_not_wait_a_single_call_is_made_in_a_thread() -> None:
    made = Event()
    codecs().start([made.set], LONG, caller_waits=False)
    assert made.wait(WITHIN_S)


@pytest.mark.parametrize("calls", [1, 3])
def test_where_torch_has_several_threads_the_caller_makes_no_call(calls: int) -> None:
    started = codecs(threads=2).start([is_main] * calls, LONG)
    assert not any(call.result() for call in started)


@pytest.mark.parametrize("caller_waits", [True, False])
def test_short_calls_of_a_worker_with_one_processor_stay_in_its_thread(caller_waits: bool) -> None:
    calls = codecs().start([is_main] * 8, SHORT_PIXELS, caller_waits=caller_waits)
    assert all(call.result() for call in calls)


def test_each_call_is_made_once_and_has_its_own_result() -> None:
    made: list[int] = []
    lock = Lock()

    def make(number: int) -> int:
        with lock:
            made.append(number)
        return number

    calls = codecs().start([partial(make, number) for number in range(500)], LONG)
    assert [call.result() for call in calls] == list(range(500))
    assert [call.result() for call in calls] == list(range(500))
    assert sorted(made) == list(range(500))


def test_the_caller_makes_the_calls_that_busy_threads_have_not_begun() -> None:
    release = Event()
    started = codecs()
    blocked = [
        started.start([partial(release.wait, WITHIN_S)], LONG, caller_waits=False) for _ in range(5)
    ]
    calls = started.start([is_main] * 4, LONG)
    assert all(call.result() for call in calls)
    release.set()
    assert all(call.result() for (call,) in blocked)


@pytest.mark.parametrize("pixels", [SHORT_PIXELS, LONG], ids=["short", "long"])
@pytest.mark.parametrize("threads", [1, 2], ids=["in-the-caller", "in-a-thread"])
def test_a_failing_call_raises_where_its_result_is_asked_for(threads: int, pixels: int) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    failing, good = codecs(threads).start([fail, current_thread], pixels)
    assert good.result()
    with pytest.raises(ZeroDivisionError):
        failing.result()
