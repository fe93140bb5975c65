"""HTTP/1.1 connections of uvicorn's server, with limits in time, bytes and number.

A connection is in one of these states, and holds at most:

| state | what it holds, and for how long |
|---|---|
| idle | nothing; `KEEP_ALIVE_S`, or until it is evicted for a new connection |
| in a head | MAX_HEAD_BYTES and one read; `header_timeout_s` |
| in a body that a route reads | HIGH_WATER_LIMIT and one read; the rest is the body budget's |
| in an unread body | nothing; MAX_UNREAD_REST_BYTES, `header_timeout_s` at the least rate |
| being answered | MAX_PIPELINED_BYTES of later requests and one read; the request's deadline |
| being written to | the answer; `write_timeout_s` for each WRITE_STEP_BYTES, or as if idle |
| in a lingering close | nothing; `max_linger_bytes`, each LINGER_S at the least rate |

The least rate is `min_body_bytes_per_s`. One read of uvloop's has at most 256 KiB. A lingering
close (nginx's term) sends the answer and the end of the stream first, and reads on for a while:
closing with unread data would reset the connection, and the client would lose the answer (RFC 9112,
9.6).
"""
