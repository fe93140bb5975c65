"""Writes a value in a panel's unit, about as Grafana does. Called by `deploy.grafana.draw`."""

import math

Scale = tuple[float, str]

SECONDS: tuple[Scale, ...] = ((1, "s"), (1e-3, "ms"), (1e-6, "µs"))
BINARY: tuple[Scale, ...] = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"), (1, "B"))
THOUSANDS: tuple[Scale, ...] = ((1e6, "M"), (1e3, "k"), (1, ""))
SUFFIXES = {"watt": "W", "celsius": "°C", "none": ""}
CUSTOM = "suffix:"


def write_value(value: float, unit: str, digits: int = 3) -> str:
    """Write a number with its unit: "12.5 ms", "1.2 GiB", "87 %"; one that is none as nothing."""
    if not math.isfinite(value):
        return ""
    if unit == "percentunit":
        return f"{rounded(100 * value, digits)} %"
    if unit == "s":
        return scaled(value, SECONDS, "", digits)
    if unit == "bytes":
        return scaled(value, BINARY, "", digits)
    suffix = unit.removeprefix(CUSTOM).strip() if unit.startswith(CUSTOM) else SUFFIXES[unit]
    return scaled(value, THOUSANDS, suffix, digits)


def scaled(value: float, scales: tuple[Scale, ...], suffix: str, digits: int) -> str:
    """Write in the largest unit of which there is at least one; nought in the plain one."""
    plain = next(scale for scale in scales if scale[0] == 1)
    fitting = (scale for scale in scales if abs(value) >= scale[0])
    size, name = next(fitting, scales[-1]) if value else plain
    return f"{rounded(value / size, digits)} {name}{suffix}".strip()


def rounded(value: float, digits: int) -> str:
    """Write so many significant digits, never with an exponent."""
    if value == 0:
        return "0"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    text = f"{value:.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
