"""The OpenAPI document with each schema where tools look for it. Called by `service.app`.

pydantic keeps a model's parts beside it (`$defs`), where references from the document's root do not
reach; here they move to `components`. A tuple of equal things becomes a list of so many, which
says the same, and which more tools understand than `prefixItems`.
"""

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

LOCAL, SHARED = "#/$defs/", "#/components/schemas/"


def document(app: FastAPI, models: Sequence[str]) -> dict[str, Any]:
    """Write the OpenAPI document of an application that serves these models, once."""
    if app.openapi_schema is None:
        made = get_openapi(
            title=app.title,
            version=app.version,
            openapi_version=app.openapi_version,
            description=app.description,
            routes=app.routes,
        )
        moved: dict[str, Any] = {}
        app.openapi_schema = plain(made, moved)
        app.openapi_schema["components"]["schemas"] |= moved
        offer(app.openapi_schema, models)
    return app.openapi_schema


def offer(made: dict[str, Any], models: Sequence[str]) -> None:
    """Have the parameter `model` say which there are, so that /docs has a list to choose from."""
    operations = (each for path in made["paths"].values() for each in path.values())
    for operation in operations:
        for parameter in operation.get("parameters", []):
            if parameter["name"] == "model":
                parameter["schema"] = {"type": "string", "enum": list(models)}


def plain(found: Any, moved: dict[str, Any]) -> Any:
    """Copy a part of the document; what it defines for itself goes into `moved`."""
    if isinstance(found, list):
        return [plain(item, moved) for item in found]
    if not isinstance(found, dict):
        return found
    made = {name: plain(value, moved) for name, value in found.items() if name != "$defs"}
    for name, schema in found.get("$defs", {}).items():
        moved[name] = plain(schema, moved)
    if isinstance(reference := made.get("$ref"), str):
        made["$ref"] = reference.replace(LOCAL, SHARED)
    items = made.get("prefixItems")
    if items and all(item == items[0] for item in items):
        made["items"] = made.pop("prefixItems")[0]
    return made
