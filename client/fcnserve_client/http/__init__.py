"""The API over HTTP: `core` says what is sent and what an answer means; `client` and `async_client`
send it, for threads and for asyncio.
"""
