"""Memory that several processes share, outside all file systems. Used by
`service.multiprocess.group` and `service.auth.shared_table`.

The supervisor allocates it and passes it to the processes that it starts, so that it outlives each
of them. Our own, because `multiprocessing.shared_memory` needs a file under /dev/shm, which a
container may lack, and leaves it behind when it is killed; `mmap` of the standard library is
enough.
"""

import mmap
import os
import weakref
from collections.abc import Callable
from multiprocessing import reduction
from typing import Any


class SharedMemory:
    """Bytes, 0 at first. It can be passed to a process that `multiprocessing` spawns."""

    def __init__(self, size_bytes: int, descriptor: int | None = None) -> None:
        """Allocate it all at once, or map what another process has allocated; raises OSError."""
        self.descriptor = allocate(size_bytes) if descriptor is None else descriptor
        weakref.finalize(self, os.close, self.descriptor)
        self._size_bytes = size_bytes
        self.view = memoryview(mmap.mmap(self.descriptor, size_bytes))

    def __reduce__(self) -> tuple[Callable[..., "SharedMemory"], tuple[object, ...]]:
        return attach, (self._size_bytes, reduction.DupFd(self.descriptor))


def attach(size_bytes: int, descriptor: Any) -> SharedMemory:
    """Map it in a process that it was passed to."""
    return SharedMemory(size_bytes, descriptor.detach())


def allocate(size_bytes: int) -> int:
    descriptor = os.memfd_create("fcnserve")
    os.posix_fallocate(descriptor, 0, size_bytes)
    return descriptor
