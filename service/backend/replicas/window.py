"""How many requests a replica is sent at a time, where it refuses some of what its card allows.

Several gateways, each of which sends a replica all that its card allows, may fill TorchServe's
queue. As in TCP's congestion avoidance (RFC 5681), a refusal halves the number and each answer adds
a part of one, so that the gateways converge on shares; and after each refusal in a row the replica
is left alone for longer. Called by `service.backend.replicas.replica`.
"""

import math

FIRST_PAUSE_S = 0.05
MAX_PAUSE_S = 1.0
# requests; a whole one, as in TCP, is much where a gateway's share is two
GROWTH = 0.25


class Window:
    """The requests that a replica may have at a time; unlimited until it refuses one."""

    __slots__ = ("_refusals", "requests")

    def __init__(self) -> None:
        self.requests = math.inf
        self._refusals = 0  # in a row

    def refused(self, in_flight: int) -> float:
        """Halve what is in flight, the refused request included; return for how many seconds
        nothing is sent.
        """
        self.requests = max(1.0, min(self.requests, in_flight) / 2)
        pause_s: float = min(MAX_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(self._refusals, 10))
        self._refusals += 1
        return pause_s

    def answered(self, limit: int) -> None:
        """Allow GROWTH more once all in flight are answered; any number from the limit on."""
        self._refusals = 0
        self.requests += GROWTH / self.requests
        if self.requests >= limit:
            self.requests = math.inf
