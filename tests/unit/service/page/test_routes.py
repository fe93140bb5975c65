"""The page's files are answered with the headers that a browser enforces, and nothing else is."""

from collections.abc import AsyncIterator

import pytest

from service.page.files import FOLDERS, read_files
from service.page.routes import CONTENT_SECURITY_POLICY
from tests.support.fakes import Gateway, running

PATHS = ["/", *(f"/page/{name}" for name in read_files())]


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    async with running() as gateway:
        yield gateway


async def test_every_file_is_answered_with_its_type_and_the_policy(gateway: Gateway) -> None:
    for path in PATHS:
        answer = await gateway.http.get(path)
        assert answer.status_code == 200, path
        assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert (
            answer.headers["content-type"]
            == {
                "": "text/html; charset=utf-8",
                "html": "text/html; charset=utf-8",
                "js": "text/javascript; charset=utf-8",
                "css": "text/css; charset=utf-8",
                "svg": "image/svg+xml",
                "jpg": "image/jpeg",
            }[path.partition(".")[2]]
        )


async def test_the_bytes_are_those_of_the_files(gateway: Gateway) -> None:
    index = await gateway.http.get("/")
    assert index.content == (FOLDERS[""] / "index.html").read_bytes()
    photo = await gateway.http.get("/page/samples/cat.jpg")
    assert photo.content == (FOLDERS["samples/"] / "cat.jpg").read_bytes()


def test_the_policy_allows_nothing_but_this_origin() -> None:
    sources = CONTENT_SECURITY_POLICY.replace(";", "").split()
    quoted = {word for word in sources if word.startswith("'")}
    assert quoted == {"'none'", "'self'"}
    assert {word for word in sources if ":" in word} == {"blob:", "data:"}


async def test_a_file_that_the_client_has_is_not_sent_again(gateway: Gateway) -> None:
    first = await gateway.http.get("/")
    again = await gateway.http.get("/", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert "content-security-policy" in again.headers
    changed = await gateway.http.get("/", headers={"If-None-Match": '"another version"'})
    assert (changed.status_code, changed.content) == (200, first.content)


@pytest.mark.parametrize(
    "path",
    [
        "/page/../files.py",
        "/page/..%2Ffiles.py",
        "/page/%2e%2e/%2e%2e/settings.py",
        "/page/samples/%2e%2e/index.html",
        "/page/samples/README.md",
        "/page//etc/passwd",
        "/page/samples",
        "/page/",
    ],
)
async def test_no_path_reaches_another_file(gateway: Gateway, path: str) -> None:
    answer = await gateway.http.get(path)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_the_files_share_one_route_in_the_metrics(gateway: Gateway) -> None:
    for path in ("/page/samples/cat.jpg", "/page/samples/astronaut.jpg"):
        await gateway.http.get(path)
    route = "/page/{name:path}"
    assert gateway.value("fcnserve_requests_total", route=route, status="200") == 2


async def test_the_page_takes_no_other_method(gateway: Gateway) -> None:
    answer = await gateway.http.post("/")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")
