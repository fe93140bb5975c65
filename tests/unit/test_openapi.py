"""The OpenAPI document is one that tools can use: whole, and in words that they know."""

from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from handlers.errors import ProblemError
from service.app import create_app
from service.settings import Settings


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return create_app(Settings(), CollectorRegistry()).openapi()


def members(found: Any) -> Iterator[tuple[str, Any]]:
    """Every member of every object in it."""
    values = found.values() if isinstance(found, dict) else found
    if isinstance(found, dict):
        yield from found.items()
    if isinstance(found, dict | list):
        for value in values:
            yield from members(value)


def test_every_reference_leads_to_a_schema(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    references = {value for name, value in members(document) if name == "$ref"}
    assert references
    assert {reference.removeprefix("#/components/schemas/") for reference in references} <= {
        *schemas
    }
    assert not any(name == "$defs" for name, _ in members(document))


def test_lists_of_so_many_numbers_are_lists(document: dict[str, Any]) -> None:
    palette = document["components"]["schemas"]["ModelCard"]["properties"]["palette"]
    colour = {"type": "array", "minItems": 3, "maxItems": 3, "items": {"type": "integer"}}
    assert palette["items"] == colour
    assert not any(name == "prefixItems" for name, _ in members(document))


def test_a_problem_is_documented_with_the_codes_that_its_status_may_have(
    document: dict[str, Any],
) -> None:
    found = document["paths"]["/v1/segment"]["post"]["responses"]["400"]["content"]
    code = found["application/problem+json"]["schema"]["properties"]["code"]
    assert set(code["enum"]) == {
        kind.code for kind in ProblemError.__subclasses__() if kind.status == 400
    }


def test_the_document_is_made_once() -> None:
    app = create_app(Settings(), CollectorRegistry())
    assert app.openapi() is app.openapi()
