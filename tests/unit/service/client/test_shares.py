"""Shares of the classes, from the answers that tell them."""

import json

from fcnserve_client import Model, Rendered
from fcnserve_client.label_maps import encoded_png, indexed_image
from service.client.shares import shares_reader
from tests.unit.client.test_segmentation import MODEL, blobs

PNG = encoded_png(indexed_image(blobs((8, 9)), MODEL))


def answer(body: bytes, model: Model = MODEL) -> Rendered:
    return Rendered(body, "", model.tag, {}, "")


def test_shares_are_those_of_the_label_map() -> None:
    shares = shares_reader("mask", MODEL)(answer(PNG))
    assert shares is not None
    assert sum(shares.values()) == 1
    assert set(shares) <= set(MODEL.classes)


def test_a_label_map_of_another_model_has_other_classes_and_no_shares() -> None:
    later = Model.from_card({**MODEL.card, "digest": "later"})
    assert shares_reader("mask", MODEL)(answer(PNG, later)) is None
    summary = json.dumps({"classes": [{"class_name": "cow", "share": 0.5}]}).encode()
    assert shares_reader("summary", MODEL)(answer(summary, later)) == {"cow": 0.5}


def test_an_answer_that_is_none_and_an_overlay_have_no_shares() -> None:
    assert shares_reader("mask", MODEL)(answer(b"")) is None
    assert shares_reader("overlay", MODEL)(answer(PNG)) is None
