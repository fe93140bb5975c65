"""The tables of README.md: a column's header in, the cells below it out. Used by tests."""

from collections.abc import Iterator
from pathlib import Path

README = (Path(__file__).parents[2] / "README.md").read_text()


def rows(first_header: str) -> Iterator[list[str]]:
    """Cells of the table whose first column has that header, row by row."""
    table = README[README.index(f"| {first_header} |") :].split("\n\n")[0]
    for line in table.splitlines()[2:]:
        yield [cell.strip() for cell in line.strip("|").split("|")]
