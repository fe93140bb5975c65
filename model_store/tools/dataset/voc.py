"""The 21 classes of PASCAL VOC and the colours of its masks, for models that name no others."""

NAMES = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair"),
    *("cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa"),
    *("train", "tvmonitor"),
)

Rgb = tuple[int, int, int]


def class_names(classes: int) -> tuple[str, ...]:
    """Name classes that have only a count; 21 classes get VOC's names."""
    return NAMES if classes == len(NAMES) else tuple(f"class{number}" for number in range(classes))


def palette(classes: int) -> tuple[Rgb, ...]:
    """Give each class its colour in VOC's development kit, for any number of classes."""
    return tuple(colour(number) for number in range(classes))


def colour(number: int) -> Rgb:
    """Distribute the bits of a class's number over red, green and blue, the highest bits first."""
    red, green, blue = (
        sum((number >> (3 * bit + channel) & 1) << (7 - bit) for bit in range(3))
        for channel in range(3)
    )
    return red, green, blue
