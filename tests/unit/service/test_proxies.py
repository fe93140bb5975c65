"""The settings of proxies in front of the gateway."""

import pytest
from pydantic import ValidationError

from service.settings import Settings


@pytest.mark.parametrize(
    ("written", "prefix"), [("", ""), ("/", ""), ("/seg", "/seg"), ("/a/b_1.0/", "/a/b_1.0")]
)
def test_a_prefix_is_kept_without_a_final_slash(written: str, prefix: str) -> None:
    assert Settings(root_path=written).root_path == prefix


@pytest.mark.parametrize("written", ["seg", "/a b", "/a//b", "/ü", "/a?b", "http://a/b", "/v1/x"])
def test_what_is_no_prefix_is_an_error(written: str) -> None:
    with pytest.raises(ValidationError, match="prefix"):
        Settings(root_path=written)


def test_proxies_are_addresses_and_networks() -> None:
    sent = "127.0.0.1, 10.0.0.0/8,2001:db8::/32"
    parsed = Settings.model_validate({"trusted_proxies": sent}).trusted_proxies
    assert parsed == ("127.0.0.1", "10.0.0.0/8", "2001:db8::/32")
    assert Settings.model_validate({"trusted_proxies": "*"}).trusted_proxies == ("*",)


@pytest.mark.parametrize("written", ["proxy.example", "10.0.0.1/8", "127.0.0.1:80"])
def test_what_is_no_address_is_an_error(written: str) -> None:
    with pytest.raises(ValidationError, match="write an address, a network"):
        Settings.model_validate({"trusted_proxies": written})
