"""Stamps in TorchServe's worker: around its reading and answering, and around the handler.

In the archive that `loadtest.front.archive` packs for `loadtest.front.hops`, beside the worker
itself; its entry calls `stamp_handler` at its end.
"""

import os
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

from loadtest.front.stamps import STAMPS_FILE, Stamp, open_stamps

GOT, ANSWERED = "worker got the batch", "worker answered"
BEGINS, ENDS = "handler begins", "handler ends"
READ_MESSAGE = "retrieve_msg"  # of ts/model_service_worker.py, which is the main program


def stamp_handler(handle: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a handler's `handle`, and the function by which the worker's loop waits for a batch."""
    stamp = open_stamps(os.environ[STAMPS_FILE])
    main = sys.modules["__main__"]
    if hasattr(main, READ_MESSAGE):
        setattr(main, READ_MESSAGE, around(getattr(main, READ_MESSAGE), stamp, ANSWERED, GOT))
    return around(handle, stamp, BEGINS, ENDS)


def around(
    function: Callable[..., Any], stamp: Stamp, before: str, after: str
) -> Callable[..., Any]:
    @wraps(function)
    def stamped(*args: Any, **kwargs: Any) -> Any:
        stamp(before)
        result = function(*args, **kwargs)
        stamp(after)
        return result

    return stamped
