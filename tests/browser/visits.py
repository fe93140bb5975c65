"""One visitor in a browser profile of its own: every request and every message is recorded."""

from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Page, Request

TIMEOUT_MS = 30_000


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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
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
