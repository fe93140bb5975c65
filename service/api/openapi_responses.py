"""What /docs says beyond the code: three kinds of request body, many answers, and an example that
works.
"""

from typing import Any

import service.errors  # noqa: F401 - fills ProblemError's family
from handlers.shared.errors import PROBLEM_MEDIA_TYPE, ProblemError
from handlers.shared.photo import MEDIA_TYPES
from service.body.multipart import IMAGES, MAX_BATCH_IMAGES
from service.render import PolygonsAnswer, RleAnswer, SummaryAnswer

DESCRIPTION = """
POST a photo, get its segmentation mask: the photo's own size, pixel for pixel, and the same bytes
whatever else the server is doing.
"""

# the cat of service/samples, 48 pixels wide, as a JPEG in base64
EXAMPLE_IMAGE = (
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABALDA4MChAODQ4SERATGCgaGBYWGDEjJR0oOjM9PDkzODdASFxOQERXRTc4"
    "UG1RV19iZ2hnPk1xeXBkeFxlZ2P/2wBDARESEhgVGC8aGi9jQjhCY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2Nj"
    "Y2NjY2NjY2NjY2NjY2NjY2NjY2P/wAARCAAgADADASIAAhEBAxEB/8QAGAABAAMBAAAAAAAAAAAAAAAAAwECBAX/xAAm"
    "EAACAQQCAQMFAQAAAAAAAAABAgMABBEhEjFBBRNRIiMyYdFx/8QAGAEBAAMBAAAAAAAAAAAAAAAAAgADBAH/xAAaEQAC"
    "AwEBAAAAAAAAAAAAAAAAAQIRITES/9oADAMBAAIRAxEAPwC3qMDC4RB9KEZOKGRnYcQNDwKm4ml9QlVowEVhrkd4/wAq"
    "jJ7CPCruH1hsnP7FZpPTUuBKCvNiuMDrHdG8JSUAZDKANeTrFDFNLHfcJXzHJIFCFs6+f1uuycB3Lgch5rhFoMZKwDJG"
    "fJ/Vc6W1E7mRsMT5rdYXJu2IWD7eTjJ335q9zb3Ec5ZYD7WOl3VkeBbCjizCHiJHA6weqlYnmJcSFj8MOqX0tdOCcqdi"
    "tEkAjk5x6Pn4NCrFZguImaLgTllORvqrR3AmspWJ+sD53mmkcrKHK8sVhW3U3bzLGViOwmdZ/lDw2K0aoIXkBWEBPPf5"
    "U8Frce4yvcOmPg91MFu7hSAFVR+X8prSQM8jM/NgcHA6q6Kwqb0//9k="
)

BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}

SEGMENT_REQUEST: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {  # the first is what /docs offers: a file to choose
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
        "code": {"type": "string", "description": "stable; the README lists them"},
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
    429: "Too many requests in flight, or of this API key; Retry-After says when to come back",
    431: "Too many or too long headers",
    500: "A defect",
    501: "A Transfer-Encoding that is not read",
    502: "The worker crashed on the way",
    503: "Starting or stopping, no worker at present, or too many connections",
    504: "The deadline passed",
}


# where there are no API keys; `service.app` adds 401 where there are
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
        "description": "The mask, or what `output=` asked for",
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

BATCH_EXAMPLE: list[dict[str, Any]] = [
    {
        "size": [300, 451],
        "classes": [
            {
                "class_id": 8,
                "class_name": "cat",
                "pixels": 67650,
                "share": 0.5,
                "bbox": [0, 150, 451, 150],
            }
        ],
    },
    {
        "type": "about:blank",
        "title": "Empty body",
        "status": 400,
        "code": "empty_body",
        "detail": "the body is empty; send the bytes of an image",
    },
]

MIXED_EXAMPLE = """\
--b5a1\r
Content-Type: image/png\r
Content-Digest: sha-256=:RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o=:\r
X-Model: fcn8s-lite2@0123456789abcdef\r
Server-Timing: read;dur=1.20, admit;dur=0.10, wait;dur=0.80, decode;dur=1.50\r
Content-ID: <0@images>\r
Content-Disposition: inline; filename*=UTF-8''cat.jpg\r
\r
(the PNG's bytes)\r
--b5a1\r
Content-Type: application/problem+json\r
Content-ID: <1@images>\r
Content-Disposition: inline; filename*=UTF-8''empty.jpg\r
\r
{"type":"about:blank","title":"Empty body","status":400,"code":"empty_body","detail":"..."}\r
--b5a1--\r
"""

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
