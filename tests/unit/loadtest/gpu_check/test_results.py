"""Items survive their way as lines, and the page shows them."""

from pathlib import Path

import pytest

from loadtest.gpu_check.results import Check, Fact, Item, Results, Row, from_line, to_line

ITEMS: list[Item] = [
    Fact("GPU", "a name"),
    Row("Copies", {"copy": "up", "GB/s": 12.34567, "exact": True, "note": None}),
    Check("masks are alike", False, "3 differ"),
]


@pytest.mark.parametrize("item", ITEMS, ids=["fact", "row", "check"])
def test_a_line_gives_the_item_that_it_was_written_from(item: Item) -> None:
    assert from_line(to_line(item)) == item


@pytest.mark.parametrize(
    "line",
    [
        "",
        "a log line",
        "[1]",
        "{}",
        '{"kind": "Fact"}',
        '{"kind": "Other"}',
        '{"kind": "Fact", "na',
    ],
)
def test_any_other_line_is_no_item(line: str) -> None:
    assert from_line(line) is None


def test_the_page_begins_with_what_does_not_hold(tmp_path: Path) -> None:
    results = Results(tmp_path, ["rates", "labels"], "the command")
    for item in ITEMS:
        results.add("rates", item)
    page = (tmp_path / "gpu-check.md").read_text()
    first, *others = [part for part in page.split("\n\n") if "masks are alike" in part]
    assert "What does not hold" in page.split("\n\n")[2 - 1] + page.split("\n\n")[2]
    assert first == "- rates: masks are alike; seen: 3 differ"
    assert others == ["- DOES NOT HOLD: masks are alike; seen: 3 differ"]
    assert "| copy |  GB/s | exact | note |" in page
    assert "|   up | 12.35 |   yes |    - |" in page
    assert "| labels | not reached |" in page


def test_a_pipe_in_a_kernels_name_ends_no_cell(tmp_path: Path) -> None:
    results = Results(tmp_path, ["kernels"], "the command")
    results.add("kernels", Row("Kernels", {"kernel": "a|b"}))
    assert "|    a/b |" in (tmp_path / "gpu-check.md").read_text()
