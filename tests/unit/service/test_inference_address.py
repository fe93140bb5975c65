"""Addresses of TorchServe's inference API, and texts that are none."""

import pytest

from service.inference_address import MAX_SOCKET_PATH_BYTES, InferenceAddress

LONG = "/" + "x" * MAX_SOCKET_PATH_BYTES


@pytest.mark.parametrize(
    ("text", "address", "authority"),
    [
        ("http://worker:8080", InferenceAddress("worker", 8080), "worker:8080"),
        ("http://worker", InferenceAddress("worker", 80), "worker:80"),
        ("https://worker", InferenceAddress("worker", 443, is_tls=True), "worker:443"),
        ("http://[::1]:8080", InferenceAddress("::1", 8080), "[::1]:8080"),
        ("http://w:1/a/b", InferenceAddress("w", 1, prefix="/a/b"), "w:1"),
        ("http://w:1//", InferenceAddress("w", 1), "w:1"),
        ("unix:/run/ts.sock", InferenceAddress("localhost", 0, "/run/ts.sock"), "localhost"),
        ("unix:" + LONG[:-1], InferenceAddress("localhost", 0, LONG[:-1]), "localhost"),
    ],
)
def test_an_address_has_parts(text: str, address: InferenceAddress, authority: str) -> None:
    assert InferenceAddress.parse(text) == address
    assert address.authority == authority


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is no address"),
        ("worker:8080", "is no address"),
        ("ftp://worker", "is no address"),
        ("http://", "is no address"),
        ("http://worker:99999", "Port out of range"),
        ("http://worker:x", "Port could not be cast"),
        ("http://a:b@worker", "more than a host"),
        ("http://worker/?a=1", "more than a host"),
        ("http://worker/#a", "more than a host"),
        ("http://worker/ä", "more than a host"),
        ("http://worker..local:1", "label"),
        ("http://worker/a b", "more than a host"),
        ("unix:socket", "is no absolute path"),
        ("unix:", "is no absolute path"),
        ("unix:" + LONG, "107 bytes at most"),
    ],
)
def test_other_texts_are_no_addresses(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        InferenceAddress.parse(text)
