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


class StampedLoop(uvloop.Loop):  # type: ignore[misc]  # of C
    """Clients are accepted, TorchServe is connected to."""

    stamp: Stamp

    async def connect_accepted_socket(self, factory: Any, *args: Any, **kwargs: Any) -> Any:
        made = stamped(factory, CLIENT, self.stamp)
        return await super().connect_accepted_socket(made, *args, **kwargs)

    async def create_server(self, factory: Any, *args: Any, **kwargs: Any) -> Any:
        made = stamped(factory, CLIENT, self.stamp)
        return await super().create_server(made, *args, **kwargs)

    async def create_connection(self, factory: Any, *args: Any, **kwargs: Any) -> Any:
        made = stamped(factory, TORCHSERVE, self.stamp)
        return await super().create_connection(made, *args, **kwargs)

    async def create_unix_connection(self, factory: Any, *args: Any, **kwargs: Any) -> Any:
        made = stamped(factory, TORCHSERVE, self.stamp)
        return await super().create_unix_connection(made, *args, **kwargs)


def main() -> None:
    """Run `fcnserve gateway` on the stamped loop."""
    StampedLoop.stamp = staticmethod(open_stamps(os.environ[STAMPS_FILE]))
    uvloop.Loop = StampedLoop
    from service.cli.main import main as fcnserve

    sys.argv[1:] = ["gateway"]
    fcnserve()


if __name__ == "__main__":
    main()
