"""The request log keeps every request."""

import dataclasses
from pathlib import Path

from loadtest.traffic.request_log import CORRECT, LoggedRequest, RequestLogWriter, read_request_log


def test_requests_are_read_as_they_were_logged(tmp_path: Path) -> None:
    row = LoggedRequest(
        12.5, 0.25, 33.5, "mask form", CORRECT, 1, {"decode": 1.5, "forward": 20.25}
    )
    refused = dataclasses.replace(row, outcome="429 busy", stages_ms={})
    writer = RequestLogWriter(tmp_path / "rows.csv")
    writer.begin(10.5)
    writer.add(row)
    writer.add(refused)
    writer.close()
    assert read_request_log(tmp_path / "rows.csv") == (10.5, [row, refused])
