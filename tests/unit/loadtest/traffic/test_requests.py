"""Requests are reproducible, and have every kind in its share."""

from collections import Counter

import pytest

from loadtest.traffic.album import AlbumPhoto
from loadtest.traffic.make_album import draw_album
from loadtest.traffic.requests import MIX, draw_requests


@pytest.fixture(scope="module")
def album() -> list[AlbumPhoto]:
    return draw_album(24, 0)


def test_requests_are_always_the_same_and_have_every_kind_in_its_share(
    album: list[AlbumPhoto],
) -> None:
    requests = draw_requests(album)
    assert draw_requests(album) == requests
    counts = Counter(request.name for request in requests)
    for kind, share in MIX.items():
        assert counts[kind] == share * len(requests) / 100, kind
    assert counts["mask"] == max(counts.values())


def test_without_a_mix_all_requests_are_masks_and_each_photo_is_sent(
    album: list[AlbumPhoto],
) -> None:
    requests = draw_requests(album, {})
    assert {request.name for request in requests} == {"mask"}
    assert {request.body for request in requests} == {photo.body for photo in album}
