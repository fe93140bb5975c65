"""Settings have limits, and the gateway starts without torch."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from service.settings import Settings

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("models", "a", ("a",)),
        ("models", " a , b,,c ", ("a", "b", "c")),
        ("cors_origins", "", ()),
        ("cors_origins", "https://a.example,*", ("https://a.example", "*")),
        ("cors_origins", "https://A.Example/", ("https://a.example",)),
        ("cors_origins", "https://a.example:443,http://a:80", ("https://a.example", "http://a")),
        ("cors_origins", "http://localhost:3000/", ("http://localhost:3000",)),
        ("cors_origins", "http://[::1]:3000", ("http://[::1]:3000",)),
        ("formats", "jpeg, tiff", frozenset({"jpeg", "tiff"})),
        ("torchserve_url", "http://torchserve:8080//", "http://torchserve:8080"),
        ("torchserve_url", "unix:/run/ts.sock", "unix:/run/ts.sock"),
        ("worker_socket", "/run/ts.sock", "/run/ts.sock"),
        ("worker_socket", "", ""),
        ("port", "0", 0),
        ("max_in_flight", "1", 1),
        ("log_format", "json", "json"),
    ],
)
def test_a_setting_is_read_from_its_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str, value: object
) -> None:
    monkeypatch.setenv(f"FCNSERVE_{name.upper()}", text)
    assert getattr(Settings(), name) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("models", ""),
        ("models", " , "),
        ("cors_origins", "photos.example"),
        ("cors_origins", "localhost:3000"),
        ("cors_origins", "//photos.example"),
        ("cors_origins", "https://photos.example/app"),
        ("cors_origins", "https://*.example"),
        ("cors_origins", "https://me@photos.example"),
        ("cors_origins", "https://photos.example:port"),
        ("cors_origins", "https://[::1"),
        ("cors_origins", "https://b\N{LATIN SMALL LETTER U WITH DIAERESIS}cher.example"),
        ("cors_origins", "https://a.example https://b.example"),
        ("cors_origins", "null"),
        ("formats", ""),
        ("formats", "jpeg,heic"),
        ("port", "65536"),
        ("port", "-1"),
        ("port", "http"),
        ("max_in_flight", "0"),
        ("gateway_processes", "0"),
        ("gateway_processes", "65"),
        ("gateway_processes", "AUTO"),
        ("gateway_processes", "2.0"),
        ("max_body_bytes", "999"),
        ("max_body_bytes", "1e12"),
        ("max_pixels", "0"),
        ("timeout_ms", "0"),
        ("max_timeout_ms", "0"),
        ("ready_window_s", "0"),
        ("ready_window_s", "-1"),
        ("ready_window_s", "inf"),
        ("ready_window_s", "nan"),
        ("max_connections", "0"),
        ("header_timeout_s", "0"),
        ("header_timeout_s", "inf"),
        ("write_timeout_s", "0"),
        ("drain_delay_s", "-1"),
        ("drain_delay_s", "nan"),
        ("shutdown_grace_s", "-1"),
        ("shutdown_grace_s", "inf"),
        ("shutdown_grace_s", "nan"),
        ("attempt_timeout_s", "0"),
        ("attempt_timeout_s", "inf"),
        ("max_batch_body_bytes", "999"),
        ("timeout_ms", "120001"),
        ("max_timeout_ms", "29999"),
        ("workers", "-1"),
        ("log_format", "xml"),
        ("log_level", "loud"),
    ],
)
def test_an_invalid_setting_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    monkeypatch.setenv(f"FCNSERVE_{name.upper()}", text)
    with pytest.raises(ValidationError, match=name):
        Settings()


def test_a_default_deadline_above_the_largest_is_explained() -> None:
    with pytest.raises(ValidationError, match="lower FCNSERVE_TIMEOUT_MS or raise FCNSERVE_MAX_T"):
        Settings(timeout_ms=2000, max_timeout_ms=1000)
    assert Settings(timeout_ms=1000, max_timeout_ms=1000).timeout_ms == 1000


def test_settings_do_not_change() -> None:
    settings: Any = Settings()
    with pytest.raises(ValidationError, match="frozen"):
        settings.port = 1


def test_every_setting_has_a_description() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert "\n" not in field.description


def test_the_gateway_runs_without_torch_and_torchserve() -> None:
    script = """
import sys
sys.modules["torch"] = sys.modules["ts"] = None
import service.server.run, service.app, service.settings
from prometheus_client import CollectorRegistry
app = service.app.create_app(service.settings.Settings(), CollectorRegistry())
while not hasattr(app, "openapi"):
    app = app.app
assert len(app.openapi()["paths"]) >= 6
print(*sorted(name for name in sys.modules if name.startswith("handlers")))
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    rooms = {".".join(name.split(".")[:2]) for name in done.stdout.split()}
    assert rooms == {"handlers", "handlers.shared"}
