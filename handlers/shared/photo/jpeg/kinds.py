"""Names the kinds of JPEG that are valid and not read.

libjpeg-turbo's 8-bit decoder reads the sequential and the progressive processes of ITU-T T.81,
Huffman or arithmetic, and the lossless Huffman one, of one, three or four components. Others would
look damaged to it. Called by `handlers.shared.photo.jpeg.reader`.
"""

from handlers.shared.errors import UnsupportedMediaTypeError
from handlers.shared.photo.jpeg.segments import LOSSLESS, Layout

_PROCESSES = {
    0xCB: "lossless with arithmetic coding",
    **dict.fromkeys((0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF), "hierarchical"),
    0xF7: "JPEG-LS",
}
_BITS = 8
_BITS_LEFT, _LOSSLESS_BITS = range(12, 13), range(2, 17)  # T.81, table B.2
_COMPONENTS = frozenset({1, 3, 4})
_LINE_COUNT = b"\xff\xdc\0\4"  # DNL, with its length


def refuse_other_kinds(body: bytes | bytearray, layout: Layout) -> None:
    """Raise UnsupportedMediaTypeError for a JPEG whose coding is not read."""
    bits, is_lossless = body[layout.frame.data], layout.frame.marker == LOSSLESS
    kind = _PROCESSES.get(layout.frame.marker)
    if kind is None and bits != _BITS and bits in (_LOSSLESS_BITS if is_lossless else _BITS_LEFT):
        kind = f"{bits}-bit lossless" if is_lossless else f"{bits}-bit"
    if kind is None and layout.components and layout.components not in _COMPONENTS:
        kind = f"{layout.components}-component"
    if (
        kind is None
        and not layout.height
        and layout.scan
        and _LINE_COUNT in body[layout.scan.end :]
    ):
        kind = "DNL (its height stands behind its pixels)"
    if kind is not None:
        msg = (
            f"the body is a jpeg file of a kind that is not read: {kind}; this server reads "
            "baseline and progressive JPEGs of 8 bits a sample; convert it to one"
        )
        raise UnsupportedMediaTypeError(msg)
