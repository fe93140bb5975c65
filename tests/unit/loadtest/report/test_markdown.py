"""Markdown tables."""

from loadtest.report.markdown import number, table


def test_a_table_is_aligned() -> None:
    lines = table(
        [("ours", number(1.25, 1)), ("a", number(None, 2))], ("strategy", "images/s"), ("strategy",)
    )
    assert lines.splitlines() == [
        "| strategy | images/s |",
        "| -------- | -------: |",
        "| ours     |      1.2 |",
        "| a        |        - |",
    ]
