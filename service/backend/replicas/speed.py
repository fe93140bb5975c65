"""How fast a replica answers: predicted seconds of images in, those answered per second out.

A request's sample is the work that the replica had when the request was sent, itself included, and
the time until its answer: the same quantities from which the time of the next one is predicted. So
a replica with more processors, a slower machine, and one that other gateways use, too, each come
out right. Old samples count less, so that a replica that was slow is tried again. Called by
`service.backend.replicas.replica`.
"""

from service.multiprocess.figure import Figure, SingleFigure

# in which a sample's weight halves
HALF_LIFE_S = 5.0
# the weight of the speed that is expected without samples, in seconds of answering
EXPECTED_S = 0.05


class Speed:
    """A weighted mean over the recent answers of one model at one replica."""

    __slots__ = ("_figure", "_seconds", "_updated_at", "_work_s")

    def __init__(self, figure: Figure | None = None) -> None:
        """Take where to keep the speed, for a choice among many."""
        self._figure = figure or SingleFigure()
        self.value = 1.0
        self._work_s = 0.0
        self._seconds = 0.0
        self._updated_at = 0.0

    @property
    def value(self) -> float:
        """The speed, in predicted seconds a second."""
        return self._figure.own

    @value.setter
    def value(self, speed: float) -> None:
        self._figure.own = speed

    def add(self, work_s: float, seconds: float, now: float, expected: float = 1.0) -> None:
        """Add an answer: the work that had been there at its start, and how long it took."""
        weight = self._forget(now)
        self._work_s = weight * self._work_s + work_s
        self._seconds = weight * self._seconds + seconds
        self._set(expected)

    def forget(self, now: float, expected: float = 1.0) -> None:
        """Let the samples so far count less, as time has passed without another."""
        weight = self._forget(now)
        self._work_s *= weight
        self._seconds *= weight
        self._set(expected)

    def _forget(self, now: float) -> float:
        passed_s, self._updated_at = max(0.0, now - self._updated_at), now
        weight: float = 0.5 ** (passed_s / HALF_LIFE_S)
        return weight

    def _set(self, expected: float) -> None:
        self.value = (self._work_s + EXPECTED_S * expected) / (self._seconds + EXPECTED_S)
