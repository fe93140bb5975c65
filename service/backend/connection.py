"""One kept HTTP/1.1 connection to TorchServe: a request's buffers in, its answer out.

One request at a time. What arrives without a request closes the connection; HTTP/1.1 has no way to
recognise an answer that arrives twice, once the next request is under way. Opened and kept by
`service.backend.connections`.

aiohttp was used before: a request through it takes five times the CPU time.
"""

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence

from service.backend.upstream_answer import AnswerReader, BadAnswerError, UpstreamAnswer
from service.errors import ConnectionBrokenError

Buffer = bytes | memoryview

CONNECTION_BROKE = "the connection to the worker broke while it had this image; try again"
# written at a time: what the transport holds of a body that the peer does not read
PIECE_BYTES = 256 * 1024


class Connection(asyncio.Protocol):
    """A connection; closed by whatever goes wrong, so that no answer is taken for another's."""

    def __init__(self, max_answer_bytes: int, open_connections: set["Connection"]) -> None:
        """Take how many bytes an answer may have, and the set that this connection is in as long as
        it is open.
        """
        self.has_answer_begun = False  # of the latest request
        self.idle_since_s = 0.0
        self._open_connections = open_connections
        self._reader = AnswerReader(max_answer_bytes)
        self._answer: asyncio.Future[UpstreamAnswer] | None = None
        self._unsent: deque[Buffer] = deque()
        self._is_paused = False

    @property
    def is_idle(self) -> bool:
        """Return whether another request may follow: the last one was sent completely, and its
        answer neither announced nor was the end.
        """
        return (
            self._answer is None
            and not self._unsent
            and self._reader.may_another_follow
            and not self._transport.is_closing()
            and not self._transport.get_write_buffer_size()
        )

    async def exchange(self, request: Sequence[Buffer]) -> UpstreamAnswer:
        """Send a request; return its answer, which may come before all is sent.

        Raises ConnectionBrokenError. The connection is closed after any exception, cancellation
        included.
        """
        self.has_answer_begun = False
        if self._transport.is_closing():
            raise ConnectionBrokenError(CONNECTION_BROKE)
        self._answer = asyncio.get_running_loop().create_future()
        try:
            self._unsent.extend(pieces_of(request))
            self._send()
            return await self._answer
        except BaseException:
            self.abort()
            raise
        finally:
            self._answer = None

    def abort(self) -> None:
        """Close at once."""
        self._unsent.clear()
        self._transport.abort()

    def _send(self) -> None:
        """Write until nothing is left, or the transport has enough."""
        while self._unsent and not self._is_paused and not self._transport.is_closing():
            self._transport.write(self._unsent.popleft())

    # called by the transport

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # of a stream
        self._transport = transport
        self._open_connections.add(self)

    def pause_writing(self) -> None:
        self._is_paused = True

    def resume_writing(self) -> None:
        self._is_paused = False
        self._send()

    def data_received(self, data: bytes) -> None:
        self.has_answer_begun = True
        if self._answer is None or self._answer.done():
            self.abort()  # it answers no request
            return
        try:
            answer = self._reader.read(data)
        except BadAnswerError as error:
            self._fail(error)
        else:
            if answer is not None:
                self._answer.set_result(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        self._unsent.clear()
        self._fail(exc)
        self._open_connections.discard(self)

    def _fail(self, cause: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            error = ConnectionBrokenError(CONNECTION_BROKE)
            error.__cause__ = cause
            self._answer.set_exception(error)


def pieces_of(buffers: Sequence[Buffer]) -> Iterator[Buffer]:
    """Cut large buffers, without copying."""
    for buffer in buffers:
        if len(buffer) <= PIECE_BYTES:
            yield buffer
            continue
        view = memoryview(buffer)
        for at in range(0, len(view), PIECE_BYTES):
            yield view[at : at + PIECE_BYTES]
