"""A timer that moves with each request ends when it is due, and neither earlier nor later."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

from service.server.http1.timers import ReadTimer, Timer


@dataclass
class Handle:
    at_s: float
    call: Callable[[], None]
    is_cancelled: bool = False

    def cancel(self) -> None:
        self.is_cancelled = True


@dataclass
class Clock:
    """The part of an event loop that timers use, with a time that tests set."""

    now_s: float = 100.0
    handles: list[Handle] = field(default_factory=list)

    def time(self) -> float:
        return self.now_s

    def call_at(self, at_s: float, call: Callable[[], None]) -> Handle:
        self.handles.append(Handle(at_s, call))
        return self.handles[-1]

    @property
    def waiting(self) -> list[Handle]:
        return [handle for handle in self.handles if not handle.is_cancelled]

    def go_to(self, now_s: float) -> None:
        """Let time pass."""
        while due := [handle for handle in self.waiting if handle.at_s <= now_s]:
            handle = min(due, key=lambda each: each.at_s)
            self.now_s = max(self.now_s, handle.at_s)
            self.handles.remove(handle)
            handle.call()
        self.now_s = now_s

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        return cast(asyncio.AbstractEventLoop, self)


def ended_at(clock: Clock) -> tuple[Timer, list[float]]:
    times: list[float] = []
    return Timer(clock.loop, lambda: times.append(clock.now_s)), times


def test_a_timer_ends_once() -> None:
    timer, times = ended_at(clock := Clock())
    timer.start(5)
    assert timer.is_running
    clock.go_to(200)
    assert times == [105]
    assert not timer.is_running


def test_a_timer_that_is_started_anew_ends_later_or_earlier() -> None:
    timer, times = ended_at(clock := Clock())
    for _ in range(1000):
        timer.start(5)
        clock.go_to(clock.now_s + 1)
    assert clock.now_s == 1100
    timer.start(2)
    clock.go_to(2000)
    assert times == [1102]


def test_moving_a_timer_later_makes_none_in_the_loop() -> None:
    timer, _ = ended_at(clock := Clock())
    timer.start(5)
    for _ in range(100):
        timer.stop()
        timer.start(75)
    assert len(clock.handles) == 1


def test_a_stopped_timer_does_not_end() -> None:
    timer, times = ended_at(clock := Clock())
    timer.start(5)
    timer.stop()
    assert not timer.is_running
    clock.go_to(200)
    assert times == []
    timer.start(5)
    clock.go_to(300)
    assert times == [205]


def test_a_closed_timer_leaves_nothing_in_the_loop() -> None:
    timer, times = ended_at(clock := Clock())
    timer.start(5)
    timer.close()
    assert clock.waiting == []
    assert times == []


def test_the_rest_of_a_body_at_the_least_rate_starts_the_time_anew() -> None:
    clock = Clock()
    times: list[float] = []
    timer = ReadTimer(clock.loop, 10, lambda: times.append(clock.now_s))
    timer.start(5)
    timer.unread_bytes = 50
    clock.go_to(105)
    assert timer.is_running
    timer.unread_bytes += 49
    clock.go_to(200)
    assert times == [110]
