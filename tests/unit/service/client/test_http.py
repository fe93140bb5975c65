"""A Retry-After is read in both forms."""

import pytest

from service.client.http import MAX_WAIT_S, retry_after_s


@pytest.mark.parametrize(
    ("header", "wait_s"),
    [
        pytest.param("3", 3.0, id="seconds"),
        pytest.param("86400", MAX_WAIT_S, id="too-long"),
        pytest.param("Wed, 21 Oct 2015 07:28:00 GMT", 0.0, id="past-date"),
        pytest.param("Wed, 21 Oct 2015 07:28:00 -0000", 1.0, id="date-without-zone"),
        pytest.param("soon", 1.0, id="text"),
        pytest.param(None, 1.0, id="absent"),
    ],
)
def test_retry_after_is_read_in_both_forms(header: str | None, wait_s: float) -> None:
    assert retry_after_s(header) == wait_s
