"""Values, facts and tables as Markdown. Called by the reports of all rooms."""

from collections.abc import Mapping, Sequence


def plain(value: object) -> str:
    """Write a value of any kind on one line; floats with four digits."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {plain(each)}" for name, each in value.items()) or "-"
    if isinstance(value, (list, tuple)):
        return " ".join(map(plain, value))
    return str(value)


def number(value: float | None, digits: int) -> str:
    """Write a number with a fixed count of digits behind the point; `-` for None."""
    return "-" if value is None else f"{value:.{digits}f}"


def cell(value: float | None) -> str:
    """Write an integer as it is and a float with four digits; `-` for None."""
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.4g}"


def fact_list(facts: Mapping[str, object]) -> str:
    """Write one list item per fact."""
    return "\n".join(f"- {name}: {plain(value)}" for name, value in facts.items())


def table(rows: Sequence[Sequence[str]], headings: Sequence[str], left: Sequence[str] = ()) -> str:
    """Write an aligned table; columns are right-aligned unless `left` lists their headings."""
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    is_left = [heading in left for heading in headings]

    def aligned(cells: Sequence[str]) -> str:
        return " | ".join(
            cell.ljust(width) if to_left else cell.rjust(width)
            for cell, width, to_left in zip(cells, widths, is_left, strict=True)
        )

    rule = [
        "-" * width if to_left else "-" * (width - 1) + ":"
        for width, to_left in zip(widths, is_left, strict=True)
    ]
    return "\n".join(
        f"| {line} |" for line in (aligned(headings), " | ".join(rule), *map(aligned, rows))
    )
