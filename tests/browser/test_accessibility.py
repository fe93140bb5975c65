"""axe-core finds nothing to object to on the page, in each of its states, light and dark."""

from collections.abc import Callable
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from tests.browser.visits import Visit, drop, expect_mask, expect_problem
from tests.support.server import Server


def welcome(visit: Visit) -> None:
    visit.page.locator("#known").wait_for()


def result(visit: Visit) -> None:
    visit.page.get_by_role("button", name="A cat").click()
    expect_mask(visit)


def problem(visit: Visit) -> None:
    drop(visit, "notes.txt", b"these are notes")
    expect_problem(visit, "Broken image")


def key(visit: Visit) -> None:
    visit.page.get_by_role("button", name="Key", exact=True).click()
    visit.page.get_by_role("textbox", name="API key").wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("reach", [welcome, result, problem, key])
def test_axe_finds_no_violation(
    browser: Browser, server: Server, reach: Callable[[Visit], None], width: int, scheme: str
) -> None:
    options: dict[str, Any] = {
        "color_scheme": scheme,
        "viewport": {"width": width, "height": 800},
        "reduced_motion": "reduce",
        "bypass_csp": True,  # axe-core is put into the page as an inline script
    }
    with Visit(browser, f"{server.url}/", options) as visit:
        reach(visit)
        found = Axe().run(visit.page)
        assert found.violations_count == 0, found.generate_report()
        visit.check()
