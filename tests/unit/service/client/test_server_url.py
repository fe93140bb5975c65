"""The server's URL is the option, else the variable, else localhost."""

import pytest

from service.client.server_url import BadUrlError, server_url

URLS = [
    pytest.param("http://a:1/", {"FCNSERVE_URL": "http://b"}, "http://a:1", id="given"),
    pytest.param(None, {"FCNSERVE_URL": "b:2", "FCNSERVE_PORT": "3"}, "http://b:2", id="url"),
    pytest.param(None, {"FCNSERVE_PORT": "8001"}, "http://127.0.0.1:8001", id="port"),
    pytest.param(None, {"FCNSERVE_URL": "", "FCNSERVE_PORT": ""}, "http://127.0.0.1:8000", id="no"),
    pytest.param("https://x.org/seg/", {}, "https://x.org/seg", id="path"),
    pytest.param("[::1]:8000", {}, "http://[::1]:8000", id="IPv6"),
]


@pytest.mark.parametrize(("given", "environment", "found"), URLS)
def test_the_url_is_the_option_else_the_variable_else_localhost(
    given: str | None, environment: dict[str, str], found: str
) -> None:
    assert server_url(given, environment) == found


@pytest.mark.parametrize(
    "url", ["ftp://x", "http://", "http://x:port", "http://x:99999", "http://[::1", "x?y=1", "a b"]
)
def test_an_invalid_url_is_rejected(url: str) -> None:
    with pytest.raises(BadUrlError, match="is no server's URL; one is http"):
        server_url(url, {})


@pytest.mark.parametrize("port", ["abc", "0", "70000", "-1", "8000.0"])
def test_an_invalid_port_is_rejected(port: str) -> None:
    with pytest.raises(BadUrlError, match=f"FCNSERVE_PORT={port} is no port"):
        server_url(None, {"FCNSERVE_PORT": port})
