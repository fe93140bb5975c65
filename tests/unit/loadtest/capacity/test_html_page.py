"""The HTML page of a report."""

import re
from pathlib import Path

from loadtest.capacity.html_page import write_html


def test_the_html_page_is_self_contained(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG")
    write_html(
        "# Load\n\n![Plots](a.png)\n\n| a | b |\n|---|---|\n| 1 | 2 |\n", tmp_path / "a.html"
    )
    page = (tmp_path / "a.html").read_text()
    assert "<title>Load</title>" in page
    assert "<td>1</td>" in page
    assert re.findall(r'src="([^"]{10})', page) == ["data:image"]
    assert "href=" not in page.replace("README", "")
