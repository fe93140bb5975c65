"""Is memory flat? Readings of a process in, the growth from the first quarter to the last out."""

from collections.abc import Sequence
from pathlib import Path


def resident_bytes(pid: int | str = "self") -> int:
    """What a process has in memory now."""
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024


def quarters(readings: Sequence[int]) -> list[int]:
    """The maximum of each quarter of a run."""
    size = len(readings) // 4
    return [max(readings[at * size : (at + 1) * size]) for at in range(4)]


def in_words(readings: Sequence[int]) -> str:
    """The same for people."""
    return ", ".join(f"{most / 1e6:.0f}" for most in quarters(readings)) + " MB at most by quarters"


def growth_bytes(readings: Sequence[int]) -> int:
    """How far the last quarter's maximum is above the first quarter's."""
    first, *_, last = quarters(readings)
    return last - first
