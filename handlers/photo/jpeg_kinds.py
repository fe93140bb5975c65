"""JPEGs that are sound and not read: what they are, in words.

libjpeg's 8-bit decoder reads the sequential and the progressive processes of ITU-T T.81, Huffman or
arithmetic, of one, three or four components. Others would be called damaged by it.
"""

from handlers.errors import UnsupportedMediaTypeError
from handlers.photo.jpeg_segments import Layout

_PROCESSES = {
    **dict.fromkeys((0xC3, 0xCB), "lossless"),
    **dict.fromkeys((0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF), "hierarchical"),
    0xF7: "JPEG-LS",
}
_BITS = 8
_COMPONENTS = frozenset({1, 3, 4})
_LINE_COUNT = b"\xff\xdc\0\4"  # DNL, with its length


def refuse_other_kinds(body: bytes | bytearray, found: Layout) -> None:
    """Raise UnsupportedMediaTypeError for a JPEG whose coding is not read."""
    bits = body[found.frame.data]
    kind = _PROCESSES.get(found.frame.marker)
    if kind is None and bits != _BITS:
        kind = f"{bits}-bit"
    if kind is None and found.components not in _COMPONENTS:
        kind = f"{found.components}-component"
    if kind is None and not found.height and found.scan and _LINE_COUNT in body[found.scan.end :]:
        kind = "DNL (its height stands behind its pixels)"
    if kind is not None:
        msg = (
            f"the body is a jpeg file of a kind that is not read: {kind}; this server reads "
            "baseline and progressive JPEGs of 8 bits a sample; convert it to one"
        )
        raise UnsupportedMediaTypeError(msg)
