"""Examples in the OpenAPI document: a photo that works, and the answers of a batch. Used by
`service.api.openapi_responses`.
"""

from typing import Any

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
