"""The OpenAPI document, with schemas in the form that most tools read. Called by `service.app`.

pydantic defines a model's parts inside it (`$defs`), where references from the document's root do
not resolve; here they move to `components`. A tuple of equal items becomes a list of fixed length,
which means the same, and which more tools understand than `prefixItems`.
"""

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

LOCAL, SHARED = "#/$defs/", "#/components/schemas/"


def document(app: FastAPI, models: Sequence[str]) -> dict[str, Any]:
    """Make the OpenAPI document of an application that serves these models, once."""
    if app.openapi_schema is None:
        openapi = get_openapi(
            title=app.title,
            version=app.version,
            openapi_version=app.openapi_version,
            description=app.description,
            routes=app.routes,
        )
        definitions: dict[str, Any] = {}
        app.openapi_schema = normalised(openapi, definitions)
        app.openapi_schema["components"]["schemas"] |= definitions
        list_models(app.openapi_schema, models)
    return app.openapi_schema


def list_models(openapi: dict[str, Any], models: Sequence[str]) -> None:
    """List the values of the parameter `model`, so that /docs has a list to choose from."""
    operations = (each for path in openapi["paths"].values() for each in path.values())
    for operation in operations:
        for parameter in operation.get("parameters", []):
            if parameter["name"] == "model":
                parameter["schema"] = {"type": "string", "enum": list(models)}


def normalised(part: Any, definitions: dict[str, Any]) -> Any:
    """Copy a part of the document; its own definitions go into `definitions`."""
    if isinstance(part, list):
        return [normalised(item, definitions) for item in part]
    if not isinstance(part, dict):
        return part
    members = {name: value for name, value in part.items() if name != "$defs"}
    copied = {name: normalised(value, definitions) for name, value in members.items()}
    for name, schema in part.get("$defs", {}).items():
        definitions[name] = normalised(schema, definitions)
    if isinstance(reference := copied.get("$ref"), str):
        copied["$ref"] = reference.replace(LOCAL, SHARED)
    items = copied.get("prefixItems")
    if items and all(item == items[0] for item in items):
        copied["items"] = copied.pop("prefixItems")[0]
    return copied
