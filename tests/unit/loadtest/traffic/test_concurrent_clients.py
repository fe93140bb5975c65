"""Concurrent clients send complete rounds of photos, and record every answer."""

import asyncio
from itertools import cycle

from loadtest.traffic.concurrent_clients import Endpoint, complete_rounds, send_all

MASK = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 4\r\n\r\nmask"
BUSY = b"HTTP/1.1 429 Busy\r\nContent-Length: 0\r\n\r\n"
BUSY_AND_CLOSED = b"HTTP/1.1 429 Busy\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


def test_clients_send_complete_rounds() -> None:
    assert list(complete_rounds(3, 0)) == [0, 1, 2]


async def test_refusals_closed_and_lost_connections_are_failures_and_the_round_goes_on() -> None:
    answers = cycle([MASK, BUSY, BUSY_AND_CLOSED, b""])

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await reader.readuntil(b"photo")
                answer = next(answers)
                writer.write(answer)
                if answer in {BUSY_AND_CLOSED, b""}:
                    break
        except asyncio.IncompleteReadError:
            pass  # the client is done
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    endpoint = Endpoint(f"http://127.0.0.1:{port}/v1/segment", {}, "Server-Timing")
    results = await send_all(endpoint, [b"photo"] * 8, 1, 0)
    server.close()
    await server.wait_closed()
    assert results.statuses == {200: 2, 429: 4}
    assert results.failed == 6
    assert [index for index, _ in results.latencies_ms] == [0, 4]
    assert results.answers == {0: {b"mask": 1}, 4: {b"mask": 1}}
