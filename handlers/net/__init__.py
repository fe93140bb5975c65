"""The networks: one file per backbone (`lite0`), one for the FCN part that all share (`fcn`)."""

from collections.abc import Callable

from handlers.net.fcn import FCN8s
from handlers.net.lite0 import Lite0


def fcn8s_lite0(classes: int) -> FCN8s:
    """FCN-8s on EfficientNet-Lite0: 3.4 million parameters."""
    return FCN8s(Lite0(), Lite0.channels, classes)


ARCHITECTURES: dict[str, Callable[[int], FCN8s]] = {"fcn8s-lite0": fcn8s_lite0}
