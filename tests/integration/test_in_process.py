"""`fcnserve.load` gives the bytes that the service sends."""

import pytest

from deploy.wheel import load
from deploy.wheel.in_process import LoadedModel
from tests.support.server import ASTRONAUT, CAT, MODEL, Server


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return load(MODEL, device="cpu", threads=1)  # as the service's workers


def test_model_and_digest_are_the_services(model: LoadedModel, server: Server) -> None:
    card = server.client.get(f"/v1/models/{MODEL}").json()
    assert model.model.tag == f"{MODEL}@{card['digest']}"
    assert model.model.overlay_palette == tuple(map(tuple, card["overlay_palette"]))


@pytest.mark.parametrize(
    "options",
    [{}, {"classes": "cat", "min_area": 50}, {"max_side": 200}, {"orientation": "stored"}],
    ids=str,
)
def test_the_bytes_are_the_services(
    model: LoadedModel, server: Server, options: dict[str, object]
) -> None:
    for path in (CAT, ASTRONAUT):
        photo = path.read_bytes()
        sure = model.segment(photo, **options)  # type: ignore[arg-type]  # of several kinds
        assert sure.png == server.segment(photo, output="confidence", **options)
        mask = model.segment(photo, confidence=False, **options)  # type: ignore[arg-type]
        assert mask.png == server.segment(photo, output="mask", **options)
