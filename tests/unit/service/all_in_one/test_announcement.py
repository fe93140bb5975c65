"""What `fcnserve serve` prints names only what the settings open."""

import pytest

from service.all_in_one.announcement import page_hint

URL = "http://127.0.0.1:8000"


def test_the_page_is_named_where_it_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "in a browser" in page_hint(URL)
    assert f"{URL}/docs" in page_hint(URL)
    monkeypatch.setenv("FCNSERVE_OPEN_DOCS", "false")
    assert page_hint(URL) == ""
