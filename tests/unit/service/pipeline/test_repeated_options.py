"""An option that is given twice adds up where it is a list, and is an error elsewhere."""

import pytest

from service.pipeline.query import LISTS, SegmentQuery
from tests.support.fakes import running

ROUTES = ("/v1/segment", "/v1/segment/batch")


async def test_classes_that_are_given_twice_add_up() -> None:
    async with running() as gateway:
        answers = [
            await gateway.segment(output="rle", classes=classes)
            for classes in ("cat,dog", ["cat", "dog"], ["dog", "cat,dog"])
        ]
        assert [answer.status_code for answer in answers] == [200] * 3
        assert len({answer.content for answer in answers}) == 1
        found = {segment["class_name"] for segment in answers[0].json()["segments"]}
        assert found == {"cat", "dog"}


@pytest.mark.parametrize("name", sorted(SegmentQuery.model_fields.keys() - LISTS))
@pytest.mark.parametrize("route", ROUTES)
async def test_any_other_option_is_refused(route: str, name: str) -> None:
    async with running() as gateway:
        answer = await gateway.http.post(f"{route}?{name}=1&{name}=1", content=b"")
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_option")
        assert f"{name}: given 2 times ('1', '1'); give it once" in answer.json()["detail"]


async def test_a_readiness_request_names_one_model() -> None:
    async with running() as gateway:
        answer = await gateway.http.get("/readyz?model=a&model=fcn8s-lite2")
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_option")


async def test_an_unknown_option_is_unknown_however_often() -> None:
    async with running() as gateway:
        answer = await gateway.http.post("/v1/segment?class=1&class=2", content=b"")
        assert "unknown option" in answer.json()["detail"]
