"""What a visitor does: photos in, masks to look at, problems that say what to do."""

import json
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.keyed import MAX_PIXELS, SECRET
from tests.browser.visits import Visit, drop, enter_key, expect_mask, expect_problem
from tests.support.photos import photo, save
from tests.support.server import CAT, Server


def test_a_dropped_photo_gets_its_mask_and_the_services_shares(
    visit: Visit, server: Server
) -> None:
    drop(visit, "my cat.jpg", CAT.read_bytes())
    expect_mask(visit)
    summary = json.loads(server.segment(CAT.read_bytes(), output="summary"))
    (share,) = [each["share"] for each in summary["classes"] if each["class_name"] == "cat"]
    legend = visit.page.locator("#legend li[data-class=cat] .share")
    expect(legend).to_have_text(f"{100 * share:.0f} %")
    expect(visit.page.locator("#details")).to_contain_text("my cat.jpg")
    expect(visit.page.locator(".timing-list")).to_contain_text("forward")


def test_a_sample_needs_one_click_and_one_request(visit: Visit) -> None:
    visit.page.get_by_role("button", name="A cat").click()
    expect_mask(visit)
    visit.page.locator("#legend input").first.click()
    visit.page.locator("#threshold").fill("80")
    assert len([url for url in visit.requests if "/v1/segment" in url]) == 1


def test_a_key_is_asked_for_and_kept_in_memory_only(browser: Browser, keyed_url: str) -> None:
    with Visit(browser, keyed_url) as visit:
        expect_problem(visit, "Unauthorized", "Enter an API key")
        enter_key(visit, "wrong")
        expect_problem(visit, "Unauthorized", "Enter an API key")
        enter_key(visit, SECRET)
        visit.page.get_by_role("button", name="A cat").click()
        expect_mask(visit)
        kept = "JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie])"
        assert visit.page.evaluate(kept) == '[{},{},""]'
        assert SECRET not in visit.page.locator("#snippets").inner_text()
        assert not [url for url in visit.requests if SECRET in url]
        visit.check()


def test_a_file_that_is_no_photo_is_a_problem_with_advice(visit: Visit) -> None:
    drop(visit, "notes.txt", b"these are notes")
    expect_problem(visit, "Broken image", "save it anew", "Request ")


def test_a_photo_of_too_many_pixels_names_the_limit(browser: Browser, keyed_url: str) -> None:
    side = int(MAX_PIXELS**0.5) + 100
    with Visit(browser, keyed_url) as visit:
        enter_key(visit, SECRET)
        drop(visit, "large.png", save(photo(side, side), "PNG"))
        expect_problem(visit, "Too many pixels", f"{side}x{side}", "Make the photo smaller")
        visit.check()


def test_all_of_it_works_below_a_path_prefix(browser: Browser, prefixed_url: str) -> None:
    with Visit(browser, prefixed_url) as visit:
        visit.page.get_by_role("button", name="A cat").click()
        expect_mask(visit)
        with visit.page.expect_download() as download:
            visit.page.get_by_role("button", name="GeoJSON").click()
        assert json.loads(Path(download.value.path()).read_text())["type"] == "FeatureCollection"
        assert {url for url in visit.requests if not url.startswith(prefixed_url)} == set()
        visit.check()


@pytest.mark.parametrize(
    "attack",
    [
        pytest.param("script.textContent = 'window.attacked = true'", id="inline-script"),
        pytest.param("script.src = 'https://example.com/x.js'", id="foreign-script"),
        pytest.param("fetch('https://example.com/').catch(() => {})", id="request-elsewhere"),
    ],
)
def test_what_the_policy_forbids_does_not_happen_and_would_be_noticed(
    browser: Browser, server: Server, attack: str
) -> None:
    with Visit(browser, f"{server.url}/") as visit:
        visit.page.evaluate(
            f"() => {{ const script = document.createElement('script'); {attack};"
            "document.body.append(script); }"
        )
        visit.page.wait_for_timeout(0)
        assert visit.page.evaluate("window.attacked") is None
        with pytest.raises(AssertionError):
            visit.check()
        assert "Content Security Policy" in " ".join(visit.messages)
