"""One visitor in a browser profile of its own, and what a visitor does: every request and every
message is recorded.
"""

import base64
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect

TIMEOUT_MS = 15_000
DROP = """([name, text]) => {
    const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File([bytes], name));
    for (const type of ["dragenter", "dragover", "drop"]) {
        document.body.dispatchEvent(new DragEvent(type, { bubbles: true, dataTransfer }));
    }
}"""


@dataclass
class Visit:
    """A page at `url`; `options` are those of the browser's context."""

    browser: Browser
    url: str
    options: dict[str, Any] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        self.context = self.browser.new_context(accept_downloads=True, **self.options)
        self.context.set_default_timeout(TIMEOUT_MS)
        self.page: Page = self.context.new_page()
        self.page.on("request", self._record)
        self.page.on("console", self._note)
        self.page.on("pageerror", lambda error: self.messages.append(f"error: {error}"))
        self.page.goto(self.url)
        return self

    def __exit__(self, *_: object) -> None:
        self.context.close()

    def check(self) -> None:
        """No request has left the origin, and nothing has gone wrong in silence."""
        origin = urlsplit(self.url).netloc
        assert {urlsplit(url).netloc for url in self.requests} == {origin}
        assert self.messages == []

    def evaluate(self, module: str, body: str, argument: object = None) -> Any:
        """Run an async function's body with `module`, one of the page's, and `argument`."""
        code = f"""async ([path, argument]) => {{
            const module = await import(path);
            {body}
        }}"""
        return self.page.evaluate(code, [f"./page/{module}", argument])

    def _record(self, request: Request) -> None:
        if not request.url.startswith(("blob:", "data:")):
            self.requests.append(request.url)

    def _note(self, message: ConsoleMessage) -> None:
        """Note warnings and errors; a failed request's status is the page's to show."""
        if message.type in {"warning", "error"} and "status of" not in message.text:
            self.messages.append(f"{message.type}: {message.text}")


def drop(visit: Visit, name: str, content: bytes) -> None:
    visit.page.evaluate(DROP, [name, base64.b64encode(content).decode()])


def expect_mask(visit: Visit) -> None:
    """Wait for the legend's entry of the cat, which the sample photo has."""
    expect(visit.page.locator("#legend li[data-class=cat]")).to_be_visible()


def expect_problem(visit: Visit, title: str, *texts: str) -> None:
    expect(visit.page.locator(".problem-title")).to_have_text(title)
    for text in texts:
        expect(visit.page.locator(".problem")).to_contain_text(text)


def enter_key(visit: Visit, key: str) -> None:
    visit.page.get_by_role("button", name="Key", exact=True).click()
    visit.page.get_by_role("textbox", name="API key").fill(key)
    visit.page.get_by_role("button", name="Use this key").click()
