"""What a visitor takes away: files equal to those of the API, and code that runs as it is."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from tests.browser.keyed import SECRET
from tests.browser.visits import Visit, enter_key, expect_mask
from tests.support.server import CAT, ROOT, Server

BUTTONS = {
    "Mask PNG": ("mask", "cat.mask.png"),
    "Overlay": ("overlay", "cat.overlay.png"),
    "RLE": ("rle", "cat.rle.json"),
    "GeoJSON": ("polygons", "cat.geojson"),
}
ODD_NAME = '-it\'s "my" $HOME `cat` \\n #1 \u00fc.jpeg'
CHOSEN = {"max_side": 256, "classes": "background,cat"}
LANGUAGES: Mapping[str, list[str]] = {
    "curl": ["sh", "-e", "-c"],
    "Python": [sys.executable, "-c"],
    "JavaScript": ["node", "--input-type=module", "-e"],
}


def download(page: Page, button: str) -> tuple[str, bytes]:
    """Press a button; returns the file's name and content."""
    with page.expect_download() as started:
        page.get_by_role("button", name=button, exact=True).click()
    return started.value.suggested_filename, Path(started.value.path()).read_bytes()


def send(visit: Visit, name: str) -> None:
    photo = {"name": name, "mimeType": "image/jpeg", "buffer": CAT.read_bytes()}
    visit.page.locator("input[type=file]").first.set_input_files([photo])
    expect_mask(visit)


def choose(visit: Visit) -> None:
    """Have the photo segmented at 256 pixels, and switch the background on."""
    visit.page.locator("#max-side").select_option("256")
    expect(visit.page.locator(".snippet")).to_contain_text("256")
    visit.page.locator("#legend li[data-class=background] input").check()
    expect(visit.page.locator(".snippet")).to_contain_text("background")


def test_the_files_are_those_of_the_api(visit: Visit, server: Server) -> None:
    send(visit, "cat.jpg")
    for button, (output, name) in BUTTONS.items():
        options = {"alpha": 0.4} if output == "overlay" else {}  # as the slider stands
        direct = server.segment(CAT.read_bytes(), output=output, **options)
        assert download(visit.page, button) == (name, direct), button


def test_the_files_have_the_classes_that_are_switched_on_and_the_chosen_size(
    visit: Visit, server: Server
) -> None:
    send(visit, "cat.jpg")
    choose(visit)
    direct = server.segment(CAT.read_bytes(), output="rle", **CHOSEN)
    assert download(visit.page, "RLE") == ("cat.rle.json", direct)


def test_a_refused_file_shows_its_problem(visit: Visit) -> None:
    send(visit, "cat.jpg")
    problem = '{"title": "Bad luck", "detail": "the service is out of it", "code": "x"}'
    visit.page.route("**/v1/segment*", lambda route: route.fulfill(status=500, body=problem))
    visit.page.get_by_role("button", name="RLE").click()
    visit.page.locator(".take-away-status .problem-title", has_text="Bad luck").wait_for()
    assert visit.page.get_by_role("button", name="RLE").is_enabled()


def snippet(visit: Visit, language: str) -> str:
    """The code that the copy button puts into the clipboard."""
    visit.context.grant_permissions(["clipboard-read", "clipboard-write"])
    visit.page.locator(".snippets label", has_text=language).click()
    visit.page.locator(".snippet-copy").click()
    visit.page.locator(".snippet-status", has_text="Copied.").wait_for()
    return str(visit.page.evaluate("navigator.clipboard.readText()"))


def run(language: str, code: str, folder: Path, **variables: str) -> None:
    (folder / ODD_NAME).write_bytes(CAT.read_bytes())
    if shutil.which(LANGUAGES[language][0]) is None:
        pytest.skip(f"there is no {LANGUAGES[language][0]}")
    environment = os.environ | {"PYTHONPATH": str(ROOT / "client")} | variables
    command = [*LANGUAGES[language], code]
    ran = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_code_makes_the_shown_mask_of_a_file_with_an_odd_name(
    visit: Visit, server: Server, language: str, tmp_path: Path
) -> None:
    send(visit, ODD_NAME)
    choose(visit)
    run(language, snippet(visit, language), tmp_path)
    assert same_mask(tmp_path, server.segment(CAT.read_bytes(), **CHOSEN), language)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_code_takes_the_key_from_the_environment(
    browser: Browser, keyed_url: str, server: Server, language: str, tmp_path: Path
) -> None:
    with Visit(browser, keyed_url) as visit:
        enter_key(visit, SECRET)
        send(visit, ODD_NAME)
        code = snippet(visit, language)
        visit.check()
    assert SECRET not in code
    run(language, code, tmp_path, FCNSERVE_KEY=SECRET)
    assert same_mask(tmp_path, server.segment(CAT.read_bytes()), language)


def same_mask(folder: Path, png: bytes, language: str) -> bool:
    """Whether a program has written the mask: the client writes the same pixels anew."""
    (folder / "expected.png").write_bytes(png)
    written = folder / ODD_NAME.replace(".jpeg", ".mask.png")
    if language != "Python":
        return written.read_bytes() == png
    with Image.open(written) as mask, Image.open(folder / "expected.png") as expected:
        return mask.mode == expected.mode and mask.tobytes() == expected.tobytes()
