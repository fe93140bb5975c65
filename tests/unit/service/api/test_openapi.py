"""Tools can use the OpenAPI document: it is complete, in the keywords that they support."""

from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from handlers.shared.errors import ProblemError
from service.app import create_app
from service.settings import Settings
from tests.support.fakes import routes_of


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return routes_of(create_app(Settings(), CollectorRegistry())).openapi()


def members(found: Any) -> Iterator[tuple[str, Any]]:
    """Yield every member of every object in a document."""
    values = found.values() if isinstance(found, dict) else found
    if isinstance(found, dict):
        yield from found.items()
    if isinstance(found, dict | list):
        for value in values:
            yield from members(value)


def test_every_reference_resolves_to_a_schema(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    references = {value for name, value in members(document) if name == "$ref"}
    assert references
    assert {reference.removeprefix("#/components/schemas/") for reference in references} <= {
        *schemas
    }
    assert not any(name == "$defs" for name, _ in members(document))


def test_lists_of_fixed_length_are_lists(document: dict[str, Any]) -> None:
    palette = document["components"]["schemas"]["ModelCard"]["properties"]["palette"]
    colour = {"type": "array", "minItems": 3, "maxItems": 3, "items": {"type": "integer"}}
    assert palette["items"] == colour
    assert not any(name == "prefixItems" for name, _ in members(document))


def test_a_problem_is_documented_with_the_codes_of_its_status(
    document: dict[str, Any],
) -> None:
    found = document["paths"]["/v1/segment"]["post"]["responses"]["400"]["content"]
    code = found["application/problem+json"]["schema"]["properties"]["code"]
    assert set(code["enum"]) == {
        kind.code for kind in ProblemError.__subclasses__() if kind.status == 400
    }


def test_the_document_is_made_once() -> None:
    app = routes_of(create_app(Settings(), CollectorRegistry()))
    assert app.openapi() is app.openapi()


def test_the_segment_routes_come_first(document: dict[str, Any]) -> None:
    assert list(document["paths"])[:3] == ["/v1/segment", "/v1/segment/batch", "/v1/models"]


def test_docs_offer_a_file_first(document: dict[str, Any]) -> None:
    content = document["paths"]["/v1/segment"]["post"]["requestBody"]["content"]
    assert next(iter(content.values()))["schema"] == {"type": "string", "format": "binary"}


def test_the_version_is_that_of_the_package(document: dict[str, Any]) -> None:
    assert document["info"]["version"] == version("fcnserve")


def test_classes_may_be_given_several_times(document: dict[str, Any]) -> None:
    parameters = document["paths"]["/v1/segment"]["post"]["parameters"]
    (classes,) = (each for each in parameters if each["name"] == "classes")
    assert "array" in {each.get("type") for each in classes["schema"]["anyOf"]}
