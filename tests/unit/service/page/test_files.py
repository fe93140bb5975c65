"""The page's files fit together: nothing inline, nothing foreign, nothing missing."""

import posixpath
import re
from html.parser import HTMLParser

import pytest

from service.page.files import INDEX, MEDIA_TYPES, PageFile, read_files

FILES = read_files()
TEXTS = {name: each.body.decode() for name, each in FILES.items() if "text/" in each.media_type}
MODULES = sorted(name for name in TEXTS if name.endswith(".js"))
IMPORT = re.compile(r"""(?:from|import)\s*\(?\s*["'](\.[^"']+)["']""")
FOREIGN = re.compile(r"""["'(](?:https?:)?//[\w.-]+""")
# names of vocabularies, which no browser loads
NAMESPACES = re.compile(r"http://www\.w3\.org/(?:2000/svg|1999/xhtml)")
HTML_SINKS = re.compile(
    r"\b(?:innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\()|\bnew Function\b"
    r"""|setAttribute\(\s*["'](?:style|on\w+)["']"""
)
LINKS = {("script", "src"), ("link", "href"), ("img", "src"), ("source", "srcset")}
NO_FILES = ("data:", "docs")


class Tags(HTMLParser):
    """Collects elements, and the text inside of scripts and styles."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.inline = ""
        self.inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.inside = tag

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside in {"script", "style"}:
            self.inline += data.strip()


@pytest.fixture(scope="module")
def index() -> Tags:
    tags = Tags()
    tags.feed(TEXTS[INDEX])
    return tags


def test_the_page_has_no_script_or_style_inside_of_it(index: Tags) -> None:
    attributes = {name for _, attributes in index.elements for name in attributes}
    assert index.inline == ""
    assert {name for name in attributes if name == "style" or name.startswith("on")} == set()


def test_the_files_that_the_page_loads_exist_and_are_named_relative_to_it(index: Tags) -> None:
    loaded = [
        value or ""
        for tag, attributes in index.elements
        for name, value in attributes.items()
        if (tag, name) in LINKS
    ]
    files = {name.removeprefix("page/") for name in loaded if not name.startswith(NO_FILES)}
    assert files <= set(FILES)
    assert [name for name in loaded if not name.startswith(("page/", *NO_FILES))] == []


@pytest.mark.parametrize("name", MODULES)
def test_the_modules_that_a_module_imports_exist(name: str) -> None:
    imported = {
        posixpath.normpath(posixpath.join(posixpath.dirname(name), path))
        for path in IMPORT.findall(TEXTS[name])
    }
    assert imported <= set(MODULES)


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_no_file_names_another_host(name: str) -> None:
    assert FOREIGN.findall(NAMESPACES.sub("", TEXTS[name])) == []


@pytest.mark.parametrize("name", MODULES)
def test_no_module_makes_elements_from_text(name: str) -> None:
    """A name of a class, or a problem's text, is never read as HTML."""
    assert HTML_SINKS.findall(TEXTS[name]) == []


def test_the_searches_find_what_they_are_for() -> None:
    assert FOREIGN.search('import("https://cdn.example/x.js")')
    assert FOREIGN.search("url(//cdn.example/x.css)")
    assert IMPORT.findall('import { a } from "./a.js"; await import("./b.js")') == [
        "./a.js",
        "./b.js",
    ]
    assert HTML_SINKS.search("box.innerHTML = name")
    assert HTML_SINKS.search('box.setAttribute("style", "x")')


def test_the_samples_are_served_and_their_description_is_not() -> None:
    assert {"samples/cat.jpg", "samples/astronaut.jpg"} <= set(FILES)
    assert {name.rsplit(".", 1)[1] for name in FILES} <= {suffix[1:] for suffix in MEDIA_TYPES}


@pytest.mark.parametrize(
    ("if_none_match", "is_current"),
    [
        pytest.param("", False, id="none"),
        pytest.param("{}", True, id="same"),
        pytest.param('"other", W/{}', True, id="weakened-by-a-proxy"),
        pytest.param("*", True, id="any"),
        pytest.param('"other"', False, id="other"),
    ],
)
def test_a_client_has_a_file_if_it_sends_its_tag(if_none_match: str, is_current: bool) -> None:
    file = PageFile(b"body", "text/css")
    assert file.is_current(if_none_match.replace("{}", file.etag)) is is_current
    assert PageFile(b"another body", "text/css").etag != file.etag
