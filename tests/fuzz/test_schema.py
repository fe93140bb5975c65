"""Requests generated from the OpenAPI document, valid and invalid: every answer is documented."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.support.server import CAT, Server

# the checks that apply where bodies are bytes: no schema defines which bytes are a photo
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
    "negative_data_rejection",
    "unsupported_method",
)
# an option may ask for a deadline of 1 ms: 408 and 504 are then correct
EXPECTED = """
[checks.not_a_server_error]
expected-statuses = ["2xx", "4xx", 503, 504]
[checks.negative_data_rejection]
expected-statuses = ["4xx", 503, 504]

# a part of any bytes is an image, with a problem of its own in an answer of 200
[[operations]]
include-path = "/v1/segment/batch"
[operations.checks.negative_data_rejection]
expected-statuses = [200, "4xx", 503, 504]
"""


def test_every_answer_is_as_documented(
    server: Server, requests: int, seed: int, tmp_path: Path, figures: list[str]
) -> None:
    configuration = tmp_path / "schemathesis.toml"
    configuration.write_text(EXPECTED)
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(configuration)),
        *("run", f"{server.url}/openapi.json"),
        *("--checks", ",".join(CHECKS), "--max-examples", str(requests), "--seed", str(seed)),
        *("--request-timeout", "60", "--continue-on-failure"),
        *("--generation-database", "none", "--no-color"),
    ]
    environment = os.environ | {"NO_PROXY": "127.0.0.1"}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    text = done.stdout + done.stderr
    figures += re.findall(r"(?m)^.*(?:generated|passed|failed).*$", text)
    assert done.returncode == 0, text
    assert server.segment(CAT.read_bytes())
