"""One outcome per image: a stage's value, or the problem that stopped this image and no other.

`handlers.pipeline` chains the stages of an image with `Outcome.then`.
"""

import logging
import os
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Generic, NamedTuple, TypeVar

from handlers.log import with_fields
from handlers.runtime.device_errors import Failure, diagnose
from handlers.shared.errors import ProblemError, WorkerFailedError, WorkerOutOfMemoryError
from handlers.shared.wire import GroupFigures

logger = logging.getLogger(__name__)

# what sysexits.h calls an internal error
EX_SOFTWARE = 70

T = TypeVar("T")
R = TypeVar("R")


class Outcome(NamedTuple, Generic[T]):
    """The last stage's value or problem, milliseconds by verb so far, the figures of a forward pass
    on its first photo, and when the last stage ended (perf_counter).

    A tuple, which takes half the time to make: each stage of each photo makes one.
    """

    value: T | ProblemError
    request_id: str = ""
    stages_ms: Mapping[str, float] = MappingProxyType({})
    group: GroupFigures | None = None
    ended: float = 0.0

    def then(self, verb: str, stage: Callable[[T], R]) -> "Outcome[R]":
        """Run the next stage, unless an earlier one has stopped this image; its time counts as
        `verb`.
        """
        started = time.perf_counter()
        result: R | ProblemError
        if isinstance(self.value, ProblemError):
            result = self.value
        else:
            try:
                result = stage(self.value)
            except Exception as error:  # noqa: BLE001 - translated, and logged where unforeseen
                result = translate(error, self.request_id)
        ended = time.perf_counter()
        stages_ms = self._stages_with(verb, (ended - started) * 1000)
        return Outcome(result, self.request_id, stages_ms, self.group, ended)

    def with_stage(self, verb: str, ms: float, group: GroupFigures | None = None) -> "Outcome[T]":
        """Count milliseconds that a whole group took, and add its figures."""
        stages_ms = self._stages_with(verb, ms)
        return Outcome(self.value, self.request_id, stages_ms, group or self.group, self.ended)

    def with_value(self, value: R | ProblemError) -> "Outcome[R]":
        """Continue with the value of a stage that was run on a whole group."""
        return Outcome(value, self.request_id, self.stages_ms, self.group, self.ended)

    def _stages_with(self, verb: str, ms: float) -> dict[str, float]:
        return {**self.stages_ms, verb: self.stages_ms.get(verb, 0.0) + ms}


def translate(error: Exception, request_id: str) -> ProblemError:
    """Turn a failure into the client's problem; an unforeseen one is logged with its traceback."""
    if isinstance(error, ProblemError):
        return error
    failure = diagnose(error)
    if failure is Failure.no_memory:
        return WorkerOutOfMemoryError(
            "the worker ran out of memory on this image; "
            "send it smaller, or with a smaller max_side"
        )
    if failure is Failure.device_lost:
        end_worker(error, request_id)
    logger.error(
        "a stage failed on an image", exc_info=error, extra=with_fields(request_id=request_id)
    )
    return WorkerFailedError(
        "the worker failed on this image; its log has the reason, other images are not affected"
    )


def end_worker(error: Exception, request_id: str) -> None:
    """End this process: no pass can succeed in it any more. TorchServe starts another, and the
    gateway sends the images in work to the workers that are there.
    """
    fields = with_fields(request_id=request_id)
    logger.critical("the device is lost to this worker, which ends", exc_info=error, extra=fields)
    logging.shutdown()
    os._exit(EX_SOFTWARE)
