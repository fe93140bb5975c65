"""The bytes of one connection in; the heads and bodies of its requests out, in order. Used by
`service.server.http1.connection`.
"""

from service.server.http1.framing import Framing
from service.server.http1.request_head import HeadReader, RequestHead


class RequestStream:
    """What has arrived of the requests of one connection, and is not parsed yet."""

    def __init__(self) -> None:
        self._head = HeadReader()
        self._framing: Framing | None = None  # of a body that is not complete
        self._received = bytearray()

    @property
    def pending_bytes(self) -> int:
        """How many bytes have arrived and are not parsed."""
        return len(self._received)

    @property
    def is_in_head(self) -> bool:
        return self._head.has_begun

    @property
    def is_in_body(self) -> bool:
        return self._framing is not None

    @property
    def is_empty(self) -> bool:
        """Whether nothing has begun to arrive."""
        return not (self.is_in_head or self.is_in_body or self._received)

    @property
    def missing_bytes(self) -> int | None:
        """How much of the body has not arrived; None where its length is unknown."""
        return 0 if self._framing is None else self._framing.missing_bytes

    def receive(self, data: bytes) -> None:
        self._received += data

    def read_head(self) -> RequestHead | None:
        """Return the next head, once it is complete; raises ProblemError."""
        head = self._head.read(self._received)
        if head is not None:
            self._head = HeadReader()
            self._framing = head.framing
        return head

    def take_pending(self) -> bytes:
        """Remove and return what is not parsed."""
        pending = bytes(self._received)
        self._received.clear()
        return pending

    def split_body(self, data: bytes) -> tuple[bytes, bytes]:
        """Return the part of `data` that is body, and the part behind it; raises ProblemError.

        `data` comes from the socket, where nothing else is pending, or is what was pending.
        """
        assert self._framing is not None  # noqa: S101 - checked by the callers
        body, rest = self._framing.take(data)
        if self._framing.is_complete:
            self._framing = None
        return body, rest
