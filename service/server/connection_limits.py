"""The bounds of a connection, and what is said to who exceeds them. Read by
`service.server.connection`.
"""

from dataclasses import dataclass

from service.errors import HeadersTooLargeError, ReadTimeoutError, TooManyConnectionsError
from service.settings import Settings

MAX_HEAD_BYTES = 32 * 1024
# of its answer, or all that is left, a client takes this in each `write_timeout_s`
TAKEN_BYTES = 64 * 1024
# for a request that was on its way when the service stops listening
LAST_WORD_S = 1.0
# of requests behind the one that is being answered; what more there is stays in the kernel
MAX_PENDING_BYTES = 16 * 1024
# a body that nobody reads any more may have so much left for its connection to be kept
KEPT_REST_BYTES = 1_000_000
# for a sender to notice the answer and stop, or send on; then the connection is reset
PARTING_S = 2.0
PARTING_BYTES = 20_000_000


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What one gateway process grants its connections."""

    header_timeout_s: float
    write_timeout_s: float
    max_connections: int
    # that a sender may still send to read his answer, before the connection is reset
    parting_bytes: int
    # of a body; one that nobody reads, too
    min_body_bytes_per_s: int

    @classmethod
    def of(cls, settings: Settings) -> "ConnectionLimits":
        connections = max(1, settings.max_connections // settings.gateway_processes)
        return cls(
            settings.header_timeout_s,
            settings.write_timeout_s,
            connections,
            max(PARTING_BYTES, settings.max_body_bytes),
            settings.min_body_bytes_per_s,
        )

    def too_slow(self) -> ReadTimeoutError:
        return ReadTimeoutError(
            f"no whole request head within {self.header_timeout_s:g} s; "
            "send it at once, or raise FCNSERVE_HEADER_TIMEOUT_S"
        )

    def gave_way(self) -> ReadTimeoutError:
        return ReadTimeoutError(
            f"{self.max_connections} connections are open, which is the limit, and none was silent "
            "in the midst of a request for longer than this one; send without a pause"
        )

    def too_many(self) -> TooManyConnectionsError:
        return TooManyConnectionsError(
            f"{self.max_connections} connections are open and wait for answers; the limit is "
            f"{self.max_connections}; come back after Retry-After, or raise "
            "FCNSERVE_MAX_CONNECTIONS"
        )


def too_large(head_bytes: int) -> HeadersTooLargeError:
    return HeadersTooLargeError(
        f"request line and headers have {head_bytes} bytes or more; the limit is "
        f"{MAX_HEAD_BYTES}; send fewer or shorter ones"
    )
