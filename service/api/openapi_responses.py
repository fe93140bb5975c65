"""Request bodies and responses in the OpenAPI document that FastAPI cannot derive from the code.

Constants for the routes of `service.api.routes`, and for `service.app`.
"""

from typing import Any

import service.errors  # noqa: F401 - defines ProblemError's subclasses
from handlers.shared.errors import PROBLEM_MEDIA_TYPE, ProblemError
from handlers.shared.photo import MEDIA_TYPES
from service.api.openapi_examples import BATCH_EXAMPLE, EXAMPLE_IMAGE, MIXED_EXAMPLE
from service.body.multipart import IMAGES, MAX_BATCH_IMAGES
from service.render import PolygonsAnswer, RleAnswer, SummaryAnswer

DESCRIPTION = """
POST a photo, get its segmentation mask: the photo's own size, pixel for pixel, and the same bytes
whatever else the server is doing.
"""

BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}

SEGMENT_REQUEST: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {  # /docs offers the first: a file to choose
            "application/octet-stream": BINARY,
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["image"],
                    "properties": {"image": {"type": "string", "format": "binary"}},
                }
            },
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["image"],
                    "additionalProperties": False,
                    "properties": {"image": {"type": "string", "format": "byte"}},
                },
                "examples": {"cat": {"summary": "a small cat", "value": {"image": EXAMPLE_IMAGE}}},
            },
            **dict.fromkeys(sorted(MEDIA_TYPES), BINARY),
        },
    }
}

BATCH_REQUEST: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": [IMAGES.fields[0]],
                    "properties": {
                        IMAGES.fields[0]: {
                            "type": "array",
                            "minItems": 1,
                            "maxItems": MAX_BATCH_IMAGES,
                            "items": {"type": "string", "format": "binary"},
                        }
                    },
                }
            }
        },
    }
}

PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status", "code", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string", "description": "stable; docs/api.md lists them"},
        "detail": {"type": "string"},
    },
}

PROBLEM_DESCRIPTIONS = {
    400: "No image, or a broken one",
    401: "No API key, or an unknown one",
    404: "No such model",
    406: "Accept allows nothing that can be had",
    408: "The request did not arrive in time",
    413: "Too many bytes, pixels or images",
    415: "A content type or image format that is not read",
    422: "An option is unknown or out of range",
    429: "Too many requests in flight, or of this API key; Retry-After has the seconds to wait",
    431: "Too many or too long headers",
    500: "A defect",
    501: "A Transfer-Encoding that is not read",
    502: "The worker crashed on the way",
    503: "Starting or stopping, no worker at present, or too many connections",
    504: "The deadline passed",
}


# without API keys; `service.app` adds 401 where there are keys
WITHOUT_KEYS = tuple(status for status in PROBLEM_DESCRIPTIONS if status != 401)  # noqa: PLR2004


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe the problems that a route answers with."""
    return {
        status: {
            "description": PROBLEM_DESCRIPTIONS[status],
            "content": {PROBLEM_MEDIA_TYPE: {"schema": problem_schema(status)}},
        }
        for status in statuses
    }


def problem_schema(status: int) -> dict[str, Any]:
    """Describe a problem of this status, with the codes that it may have."""
    codes = sorted({kind.code for kind in ProblemError.__subclasses__() if kind.status == status})
    properties: dict[str, Any] = PROBLEM_SCHEMA["properties"]
    code = {**properties["code"], "enum": codes}
    return {
        **PROBLEM_SCHEMA,
        "properties": {**properties, "status": {"const": status}, "code": code},
    }


SEGMENT_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The mask, or what `output=` names",
        "content": {
            "image/png": BINARY,
            "image/jpeg": BINARY,
            "application/json": {
                "schema": {
                    "anyOf": [RleAnswer.model_json_schema(), SummaryAnswer.model_json_schema()]
                }
            },
            "application/geo+json": {"schema": PolygonsAnswer.model_json_schema()},
        },
    },
    **problems(*WITHOUT_KEYS),
}

METRICS_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"description": "Metrics", "content": {"text/plain": {"schema": {"type": "string"}}}}
}

BATCH_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "One outcome an image, in order: what it would have been answered with "
        "alone, or its problem. Images in parts, JSON (rle, polygons, summary) in one list.",
        "content": {
            "multipart/mixed": {"schema": {"type": "string"}, "example": MIXED_EXAMPLE},
            "application/json": {
                "schema": {
                    "type": "array",
                    "items": {
                        "anyOf": [
                            RleAnswer.model_json_schema(),
                            PolygonsAnswer.model_json_schema(),
                            SummaryAnswer.model_json_schema(),
                            PROBLEM_SCHEMA,
                        ]
                    },
                },
                "example": BATCH_EXAMPLE,
            },
        },
    },
    **problems(*WITHOUT_KEYS),
}
