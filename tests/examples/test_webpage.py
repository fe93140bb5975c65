"""The JavaScript example in Chromium: a page of its own origin, which calls the API by CORS."""

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.server import CAT, Server

BUSY = """async () => {
    const { segment } = await import("./fcnserve.js");
    const statuses = [503, 429, 200];
    window.fetch = async () => new Response("{}", { status: statuses.shift() });
    return (await segment("http://127.0.0.1:9", new Blob([]))).status;
}"""


@pytest.fixture
def page(browser: Browser, origin: str, server: Server) -> Page:
    page = browser.new_page()
    page.set_default_timeout(15_000)
    page.goto(f"{origin}/?server={server.url}")
    return page


def test_a_photo_has_its_regions_drawn_over_it(page: Page) -> None:
    page.set_input_files("input", CAT)
    expect(page.get_by_role("status")).to_contain_text("cat")
    photo, drawing = page.locator("img").bounding_box(), page.locator("svg").bounding_box()
    assert photo == drawing
    page.mouse.move(photo["x"] + photo["width"] / 2, photo["y"] + photo["height"] / 2)
    hovered = page.locator("path:hover title")
    expect(hovered).to_contain_text("cat")


def test_a_file_that_is_no_photo_is_refused_with_the_servers_reason(page: Page) -> None:
    page.set_input_files("input", [{"name": "a.jpg", "mimeType": "image/jpeg", "buffer": b"no"}])
    expect(page.get_by_role("alert")).to_contain_text("a.jpg: ")
    expect(page.locator("figure")).to_be_hidden()


def test_a_page_of_another_origin_gets_no_answer(
    browser: Browser, origin: str, server: Server
) -> None:
    page = browser.new_page()
    page.goto(f"{origin.replace('127.0.0.1', 'localhost')}/?server={server.url}")
    page.set_input_files("input", CAT)
    expect(page.get_by_role("alert")).to_contain_text("cat.jpg: Failed to fetch")


def test_a_busy_server_is_asked_again(page: Page) -> None:
    assert page.evaluate(BUSY) == 200
