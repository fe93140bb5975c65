"""Sums, ratios and percentiles. Called by all modules that sum up a run."""

from collections.abc import Mapping, Sequence


def summed(parts: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Sum the values of each name."""
    total: dict[str, float] = {}
    for part in parts:
        for name, value in part.items():
            total[name] = total.get(name, 0.0) + value
    return total


def ratio(part: float, total: float) -> float | None:
    return part / total if total else None


def percentile(ordered: Sequence[float], percent: float) -> float | None:
    """Return the smallest value that is not below `percent` of all (nearest rank)."""
    if not ordered:
        return None
    rank = -(-len(ordered) * percent // 100)
    return ordered[max(0, int(rank) - 1)]
