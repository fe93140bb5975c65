"""The bytes of one connection in; the heads and bodies of its requests out, in order. Used by
`service.server.http1.connection`.
"""

from service.server.http1.framing import Framing
from service.server.http1.request_head import HeadReader, RequestHead


class RequestStream:
    """What has arrived of the requests of one connection, and is not parsed yet.

    Bytes are not copied before they are parsed: a packet that is one whole body leaves as the
    object that it arrived as.
    """

    def __init__(self) -> None:
        self._head = HeadReader()
        self._framing: Framing | None = None  # of a body that is not complete
        self._received = b""
        self._at = 0  # where what is not parsed begins
        self.pending_bytes = 0  # that have arrived and are not parsed
        self.is_in_head = self.is_in_body = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing has begun to arrive."""
        return not (self.is_in_head or self.is_in_body or self.pending_bytes)

    @property
    def missing_bytes(self) -> int | None:
        """How much of the body has not arrived; None where its length is unknown."""
        return 0 if self._framing is None else self._framing.missing_bytes

    def receive(self, data: bytes) -> None:
        self._received = self._received[self._at :] + data if self.pending_bytes else data
        self._at = 0
        self.pending_bytes = len(self._received)

    def discard(self) -> None:
        """Drop what is not parsed."""
        self._go_on(len(self._received))

    def read_head(self) -> RequestHead | None:
        """Return the next head, once it is complete; raises ProblemError."""
        reader = self._head
        if not self.is_in_head:
            if self._received.startswith(b"\r", self._at):
                self._go_on(reader.skip_blank_lines(self._received, self._at))
            if self._received[self._at : self._at + 2] in {b"", b"\r"}:
                return None
        self.is_in_head = True
        head = reader.read(self._received, self._at)
        if head is not None:
            self._go_on(self._at + reader.read_bytes)
            self._head = HeadReader()
            self._framing = head.framing
            self.is_in_head, self.is_in_body = False, head.framing is not None
        return head

    def read_body(self) -> bytes:
        """Return what has arrived of the body; raises ProblemError."""
        assert self._framing is not None  # noqa: S101 - checked by the callers
        body, end = self._framing.take(self._received, self._at)
        self._go_on(end)
        if self._framing.is_complete:
            self._framing, self.is_in_body = None, False
        return body

    def _go_on(self, at: int) -> None:
        """Parse from here on; keep no packet of which all is parsed."""
        self._at = at
        self.pending_bytes = len(self._received) - at
        if self.pending_bytes == 0:
            self._received, self._at = b"", 0
