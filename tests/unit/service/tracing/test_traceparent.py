"""The trace that a request's headers name."""

import pytest

from service.tracing.traceparent import Trace, read_traceparent

TRACE_ID, SPAN_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def header(value: str) -> tuple[bytes, bytes]:
    return b"traceparent", value.encode()


@pytest.mark.parametrize("end", ["", "-of-a-later-version"])
@pytest.mark.parametrize(("written", "flags"), [("00", 0), ("01", 1), ("ff", 255)])
def test_a_clients_trace_is_read(written: str, flags: int, end: str) -> None:
    version = "cc" if end else "00"
    sent = header(f"{version}-{TRACE_ID}-{SPAN_ID}-{written}{end}")
    assert read_traceparent([(b"host", b"x"), sent]) == Trace(TRACE_ID, SPAN_ID, flags)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "nonsense",
        f"00-{TRACE_ID}-{SPAN_ID}",
        f"00-{TRACE_ID}-{SPAN_ID}-1",
        f"00-{TRACE_ID}-{SPAN_ID}-01-more",
        f"cc-{TRACE_ID}-{SPAN_ID}-01more",
        f"ff-{TRACE_ID}-{SPAN_ID}-01",
        f"00-{'0' * 32}-{SPAN_ID}-01",
        f"00-{TRACE_ID}-{'0' * 16}-01",
        f"00-{TRACE_ID.upper()}-{SPAN_ID}-01",
        f'00-{TRACE_ID[:-1]}"-{SPAN_ID}-01',
    ],
)
def test_what_is_no_trace_is_ignored(value: str) -> None:
    assert read_traceparent([header(value)]) is None


def test_of_two_traces_none_is_taken() -> None:
    sent = header(f"00-{TRACE_ID}-{SPAN_ID}-01")
    assert read_traceparent([sent, sent]) is None
