"""The 21 classes of PASCAL VOC and the colours of its masks, for models that name no others."""

NAMES = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair"),
    *("cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa"),
    *("train", "tvmonitor"),
)

Rgb = tuple[int, int, int]


def class_names(classes: int) -> tuple[str, ...]:
    """Name classes of which nothing but their number is known; 21 are VOC's."""
    return NAMES if classes == len(NAMES) else tuple(f"class{place}" for place in range(classes))


def palette(classes: int) -> tuple[Rgb, ...]:
    """Give each class the colour that VOC's development kit gives it, whatever their number."""
    return tuple(colour(place) for place in range(classes))


def colour(place: int) -> Rgb:
    """Deal the bits of a class's number out to red, green and blue, the highest bits first."""
    red, green, blue = (
        sum((place >> (3 * bit + channel) & 1) << (7 - bit) for bit in range(3))
        for channel in range(3)
    )
    return red, green, blue
