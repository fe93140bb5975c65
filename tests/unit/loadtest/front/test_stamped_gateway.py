"""Stamps leave what a connection does as it is."""

import asyncio

from loadtest.front.stamped_gateway import CLIENT, got_from, stamped, wrote_to


class Echo(asyncio.Protocol):
    """Has slots, as protocols in C have: no attributes can be added."""

    __slots__ = ("transport",)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport.get_extra_info("peername"), tuple)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)  # type: ignore[attr-defined]
        self.transport.close()


async def test_what_is_received_and_written_is_stamped_and_arrives() -> None:
    events: list[str] = []
    loop = asyncio.get_running_loop()
    server = await loop.create_server(stamped(Echo, CLIENT, events.append), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(b"photo")
    assert await reader.read() == b"photo"
    writer.close()
    server.close()
    await server.wait_closed()
    assert events == [got_from(CLIENT), wrote_to(CLIENT)]
