"""TorchServe's HTTP answers: the bytes of a connection in, one UpstreamAnswer after the other out.

httptools (llhttp, strict) parses them. Interim answers (`100 Continue`) are skipped. An answer has
to have a length or chunks: one that ends with its connection may have been cut off. Used by
`service.backend.connection`.
"""

from collections.abc import Mapping
from typing import NamedTuple

import httptools

# of an answer and the interim ones before it; a worker's report has some kilobytes
MAX_HEAD_BYTES = 64 * 1024
FIRST_FINAL_STATUS = 200


class BadAnswerError(Exception):
    """What arrived is no HTTP answer, or a larger one than allowed."""


class UpstreamAnswer(NamedTuple):
    """One whole answer; its headers' names are in lower case."""

    status: int
    headers: Mapping[bytes, bytes]
    body: bytes


class AnswerReader:
    """Reads the answers of one connection; of no use after a BadAnswerError."""

    def __init__(self, max_answer_bytes: int) -> None:
        """Take how many bytes an answer's head and body may have together."""
        self.may_another_follow = True
        self._max_answer_bytes = max_answer_bytes
        self._parser = httptools.HttpResponseParser(self)
        self._begin()

    def _begin(self) -> None:
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []
        self._has_head = False
        self._answer: UpstreamAnswer | None = None
        self._received_bytes = 0

    def read(self, data: bytes) -> UpstreamAnswer | None:
        """Take what has arrived; return the answer that ends with it, or None. Raises
        BadAnswerError, also where bytes follow the answer: its length may be wrong.
        """
        self._received_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            raise BadAnswerError(str(error)) from error
        max_bytes = self._max_answer_bytes if self._has_head else MAX_HEAD_BYTES
        if self._received_bytes > max_bytes:
            raise BadAnswerError(f"{self._received_bytes} bytes; the limit is {max_bytes}")
        if (answer := self._answer) is not None:
            self._begin()
        return answer

    # called by the parser

    def on_message_begin(self) -> None:
        if self._answer is not None:
            raise BadAnswerError("bytes follow the answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.setdefault(name.lower(), value)

    def on_headers_complete(self) -> None:
        self._has_head = self._parser.get_status_code() >= FIRST_FINAL_STATUS

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        if self._has_head:
            self.may_another_follow = self._parser.should_keep_alive()
            status = self._parser.get_status_code()
            self._answer = UpstreamAnswer(status, self._headers, b"".join(self._body))
        self._headers, self._body = {}, []
