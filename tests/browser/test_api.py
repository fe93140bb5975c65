"""The page's client of the API: answers, problems, retries; in a real browser."""

from playwright.sync_api import Route

from tests.browser.keyed import SECRET
from tests.browser.visits import Visit
from tests.support.server import CAT, Server

SEGMENT = """
    const photo = await (await fetch("./page/samples/cat.jpg")).blob();
    const progress = [];
    const api = new module.Api(new URL("./", location.href).href, () => argument?.key ?? "");
    try {
        const { body, ...rest } = await api.segment(
            argument?.text ? new Blob([argument.text]) : photo,
            argument?.options ?? {},
            { onProgress: (share) => progress.push(share) },
        );
        return { ...rest, bytes: body.byteLength, progress };
    } catch (problem) {
        return { ...problem, isProblem: problem.constructor.name === "Problem" };
    }
"""


def test_an_answer_has_all_that_its_headers_say(visit: Visit, server: Server) -> None:
    options = {"output": "confidence", "classes": ["cat", "dog"], "max_side": 256, "model": None}
    found = visit.evaluate("api.js", SEGMENT, {"options": options})
    direct = server.post_photo(
        CAT.read_bytes(), output="confidence", classes="cat,dog", max_side=256
    )
    assert found["bytes"] == len(direct.content)
    assert f"{found['model']}@{found['digest']}" == direct.headers["x-model"]
    assert found["type"] == "image/png"
    assert len(found["requestId"]) == 32
    assert found["progress"][-1] == 1
    names = {entry["name"] for entry in found["timing"]}
    assert {"read", "decode", "forward", "encode"} <= names
    assert all(entry["milliseconds"] >= 0 for entry in found["timing"])


def test_a_problem_has_title_detail_and_advice(visit: Visit) -> None:
    found = visit.evaluate("api.js", SEGMENT, {"text": "this is a text"})
    assert found["isProblem"]
    assert (found["status"], found["code"]) == (400, "broken_image")
    assert found["title"]
    assert found["detail"]
    assert "save it anew" in found["advice"]
    assert len(found["requestId"]) == 32


def test_a_key_that_no_header_can_have_is_a_problem(visit: Visit) -> None:
    found = visit.evaluate("api.js", SEGMENT, {"key": f"{SECRET}\u00e9"})
    assert (found["status"], found["code"]) == (401, "unauthorized")


def test_a_busy_service_is_asked_again_and_others_are_not(visit: Visit) -> None:
    statuses = [429, 503, 502]
    calls: list[int] = []

    def answer(route: Route) -> None:
        calls.append(statuses[len(calls)])
        route.fulfill(status=calls[-1], headers={"Retry-After": "0"}, body="<html>")

    visit.page.route("**/v1/segment*", answer)
    found = visit.evaluate("api.js", SEGMENT)
    assert calls == statuses
    assert (found["status"], found["code"]) == (502, "http_502")


def test_a_wait_beyond_the_budget_is_a_problem_at_once(visit: Visit) -> None:
    calls: list[str] = []

    def answer(route: Route) -> None:
        calls.append(route.request.url)
        route.fulfill(status=429, headers={"Retry-After": "3600"}, body="{}")

    visit.page.route("**/v1/segment*", answer)
    found = visit.evaluate("api.js", SEGMENT)
    assert (found["status"], found["retryAfterSeconds"], len(calls)) == (429, 3600, 1)


def test_a_broken_connection_is_a_problem(visit: Visit) -> None:
    visit.page.route("**/v1/segment*", lambda route: route.abort("connectionreset"))
    found = visit.evaluate("api.js", SEGMENT)
    assert (found["status"], found["code"]) == (0, "unreachable")
    assert all("ERR_CONNECTION_RESET" in message for message in visit.messages)
    visit.messages.clear()


def test_an_abort_ends_a_request_with_the_signals_reason(visit: Visit) -> None:
    visit.page.route("**/v1/segment*", lambda route: None)  # is never answered
    body = """
        const api = new module.Api(new URL("./", location.href).href);
        const signal = AbortSignal.timeout(50);
        try {
            await api.segment(new Blob(["x"]), {}, { signal });
        } catch (error) {
            return error.name;
        }
    """
    assert visit.evaluate("api.js", body) == "TimeoutError"
