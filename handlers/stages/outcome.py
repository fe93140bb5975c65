"""One outcome per image: a stage's value, or the problem that stopped this image and no other."""

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from handlers.log import with_fields
from handlers.runtime.device import is_lost, lacks_memory
from handlers.shared.errors import ProblemError, WorkerFailedError, WorkerOutOfMemoryError

logger = logging.getLogger(__name__)

# what sysexits.h calls an internal error
EX_SOFTWARE = 70


class OfRequest(Protocol):
    """What comes from a request, and can be told from others in the log."""

    @property
    def request_id(self) -> str: ...


T = TypeVar("T")
R = TypeVar("R")
V = TypeVar("V", bound=OfRequest)


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T]):
    """What a stage made of one value, how long it took, and when (perf_counter) it was done."""

    value: T | ProblemError
    ms: float
    ended: float


def attempt(stage: Callable[[V], R], value: V | ProblemError) -> Outcome[R]:
    """Run `stage` on `value`, unless an earlier stage has stopped this image already."""
    started = time.perf_counter()
    result: R | ProblemError
    if isinstance(value, ProblemError):
        result = value
    else:
        try:
            result = stage(value)
        except Exception as error:  # noqa: BLE001 - translated, and logged where unforeseen
            result = translate(error, value.request_id)
    ended = time.perf_counter()
    return Outcome(result, (ended - started) * 1000, ended)


def translate(error: Exception, request_id: str) -> ProblemError:
    """Name a failure for the client; what nobody foresaw is logged with its traceback."""
    if isinstance(error, ProblemError):
        return error
    if lacks_memory(error):
        return WorkerOutOfMemoryError(
            "the worker ran out of memory on this image; "
            "send it smaller, or with a smaller max_side"
        )
    if is_lost(error):
        end_worker(error, request_id)
    logger.error(
        "a stage failed on an image", exc_info=error, extra=with_fields(request_id=request_id)
    )
    return WorkerFailedError(
        "the worker failed on this image; its log has the reason, other images are not affected"
    )


def end_worker(error: Exception, request_id: str) -> None:
    """End this process: no pass can succeed in it any more. TorchServe starts another, and the
    gateway sends what it had in hand to those that are there.
    """
    fields = with_fields(request_id=request_id)
    logger.critical("the device is lost to this worker, which ends", exc_info=error, extra=fields)
    logging.shutdown()
    os._exit(EX_SOFTWARE)
