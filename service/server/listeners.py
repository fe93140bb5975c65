"""Listening sockets at a stop: connections that the kernel has completed are accepted, new ones are
not. Called by `service.server.server` and `service.server.supervisor`.
"""

import ctypes
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress

# linux/filter.h: a packet filter of one instruction, which keeps 0 bytes of each packet
SO_ATTACH_FILTER, BPF_RET = 26, 0x06


def duplicate(listener: socket.socket) -> socket.socket:
    """Return the same listener under a descriptor that its server does not close."""
    return socket.socket(fileno=os.dup(listener.fileno()))


def drop_new_connections(listener: socket.socket) -> None:
    """Have the kernel drop packets of new connections.

    A connection that completes between the last `accept` and closing would be reset; a client whose
    packet is dropped tries again after a second, and is refused.
    """
    drop_all = ctypes.create_string_buffer(struct.pack("HBBI", BPF_RET, 0, 0, 0))
    program = struct.pack("HP", 1, ctypes.addressof(drop_all))
    with suppress(OSError):  # some kernels have no filters; the gap is short
        listener.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)


def accept_waiting(listener: socket.socket) -> Iterator[socket.socket]:
    """Accept all completed connections, then close the listener."""
    listener.setblocking(False)
    with listener, suppress(BlockingIOError):
        while True:
            client, _ = listener.accept()
            client.setblocking(False)
            yield client
