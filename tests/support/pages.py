"""Tables of README.md and docs/: a column's header in, the cells below it out. Used by tests."""

from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))


def rows(first_header: str) -> Iterator[list[str]]:
    """Cells of the one table whose first column has that header, row by row."""
    start = f"\n| {first_header} |"
    [text] = [text for page in PAGES if start in (text := page.read_text())]
    table = text[text.index(start) :].lstrip().split("\n\n")[0]
    for line in table.splitlines()[2:]:
        yield [cell.strip() for cell in line.strip("|").split("|")]
