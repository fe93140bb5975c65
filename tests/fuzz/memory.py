"""Memory growth of a process: readings in, the growth from the first quarter to the last out.

Used by the tests of this room and of `tests.faults`.
"""

from collections.abc import Sequence


def quarters(readings: Sequence[int]) -> list[int]:
    """Return the maximum of each quarter of a run."""
    size = len(readings) // 4
    return [max(readings[at * size : (at + 1) * size]) for at in range(4)]


def quarters_text(readings: Sequence[int]) -> str:
    """Write the maximum of each quarter in MB."""
    return ", ".join(f"{most / 1e6:.0f}" for most in quarters(readings)) + " MB at most by quarters"


def growth_bytes(readings: Sequence[int]) -> int:
    """Return the last quarter's maximum minus the first quarter's."""
    first, *_, last = quarters(readings)
    return last - first
