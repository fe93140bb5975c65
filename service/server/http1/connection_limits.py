"""The limits of a connection, and the problems of a client that exceeds them. Used by
`service.server.http1.connection`, which has a table of what applies when.
"""

from dataclasses import dataclass

from service.errors import HeadersTooLargeError, ReadTimeoutError, TooManyConnectionsError
from service.settings import Settings

MAX_HEAD_BYTES = 32 * 1024
# of its answer, or all that is left, a client has to take this in each `write_timeout_s`
WRITE_STEP_BYTES = 64 * 1024
# for a request that was on its way when the server stopped listening
LAST_REQUEST_S = 1.0
# of requests behind the one that is being answered; the rest stays in the kernel's buffer
MAX_PIPELINED_BYTES = 16 * 1024
# a body that no route reads may have so much left for its connection to be kept alive
MAX_UNREAD_REST_BYTES = 1_000_000
# in a lingering close, for a client to notice the answer and stop, or to send on
LINGER_S = 2.0
MIN_LINGER_BYTES = 20_000_000


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """The limits of all connections of one gateway process."""

    header_timeout_s: float
    write_timeout_s: float
    max_connections: int
    # that a client may send in a lingering close, before its connection is reset
    max_linger_bytes: int
    # of a body, whether a route reads it or not
    min_body_bytes_per_s: int

    @classmethod
    def of(cls, settings: Settings, processes: int = 1) -> "ConnectionLimits":
        """Take one process's part of the connections: new ones are shared out equally."""
        connections = max(1, settings.max_connections // processes)
        return cls(
            settings.header_timeout_s,
            settings.write_timeout_s,
            connections,
            max(MIN_LINGER_BYTES, settings.max_body_bytes),
            settings.min_body_bytes_per_s,
        )

    def head_too_slow(self) -> ReadTimeoutError:
        return ReadTimeoutError(
            f"no whole request head within {self.header_timeout_s:g} s; "
            "send it at once, or raise FCNSERVE_HEADER_TIMEOUT_S"
        )

    def evicted(self) -> ReadTimeoutError:
        return ReadTimeoutError(
            f"{self.max_connections} connections are open, which is the limit, and none was silent "
            "during a request for longer than this one; send without a pause"
        )

    def too_many(self) -> TooManyConnectionsError:
        return TooManyConnectionsError(
            f"{self.max_connections} connections are open and wait for answers; the limit is "
            f"{self.max_connections}; try again after Retry-After, or raise "
            "FCNSERVE_MAX_CONNECTIONS"
        )


def head_too_large(head_bytes: int) -> HeadersTooLargeError:
    return HeadersTooLargeError(
        f"request line and headers have {head_bytes} bytes or more; the limit is "
        f"{MAX_HEAD_BYTES}; send fewer or shorter ones"
    )
