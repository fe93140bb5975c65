"""`python -m loadtest.front.stamped_gateway`: the gateway, with a stamp whenever bytes come or go.

The event loop is uvloop's with every connection's protocol and transport wrapped, so the gateway's
own code runs unchanged, whatever it connects with. Started by `loadtest.front.hops`.
"""

import asyncio
import os
import sys
from collections.abc import Callable
from typing import Any

import uvloop

from loadtest.front.stamps import STAMPS_FILE, Stamp, open_stamps

CLIENT, TORCHSERVE = "client", "TorchServe"
SIDES = {  # by the loop's method that makes a connection
    "connect_accepted_socket": CLIENT,
    "create_server": CLIENT,
    "create_connection": TORCHSERVE,
    "create_unix_connection": TORCHSERVE,
}


def got_from(side: str) -> str:
    return f"gateway got from {side}"


def wrote_to(side: str) -> str:
    return f"gateway wrote to {side}"


class StampedTransport:
    """A transport whose writes are stamped; everything else is the transport's own."""

    def __init__(self, transport: asyncio.Transport, side: str, stamp: Stamp) -> None:
        self._transport, self._event, self._stamp = transport, wrote_to(side), stamp

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: Any) -> None:
        self._stamp(self._event)
        self._transport.write(data)

    def writelines(self, data: Any) -> None:
        self._stamp(self._event)
        self._transport.writelines(data)


def stamped(
    factory: Callable[[], asyncio.Protocol], side: str, stamp: Stamp
) -> Callable[[], asyncio.Protocol]:
    """Wrap a factory: its protocols stamp what they receive, and their transports what they
    write.
    """
    event = got_from(side)

    def make() -> asyncio.Protocol:
        protocol = factory()

        class Stamped(type(protocol)):  # type: ignore[misc]  # slots forbid attributes
            __slots__ = ()

            def connection_made(self, transport: Any) -> None:
                super().connection_made(StampedTransport(transport, side, stamp))

            def data_received(self, data: bytes) -> None:
                stamp(event)
                super().data_received(data)

        protocol.__class__ = Stamped
        return protocol

    return make


def stamped_loop(stamp: Stamp) -> type[uvloop.Loop]:
    """Return uvloop's loop with the protocols of all connections wrapped."""
    methods = {
        name: with_stamps(getattr(uvloop.Loop, name), side, stamp) for name, side in SIDES.items()
    }
    return type("StampedLoop", (uvloop.Loop,), methods)


def with_stamps(connect: Callable[..., Any], side: str, stamp: Stamp) -> Callable[..., Any]:
    """Wrap a method whose first argument is a protocol's factory."""

    def connect_stamped(loop: uvloop.Loop, factory: Any, *args: Any, **kwargs: Any) -> Any:
        return connect(loop, stamped(factory, side, stamp), *args, **kwargs)

    return connect_stamped


def main() -> None:
    """Run `fcnserve gateway` on the stamped loop."""
    vars(uvloop)["Loop"] = stamped_loop(open_stamps(os.environ[STAMPS_FILE]))
    from service.cli.main import main as fcnserve

    sys.argv[1:] = ["gateway"]
    fcnserve()


if __name__ == "__main__":
    main()
