"""The options of a Locust process, read from environment variables: Locust's container has no
command line of ours.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from loadtest.traffic.album import ALBUM
from loadtest.traffic.shapes import SHAPES, Shape

PREFIX = "LOADTEST_"


@dataclass(frozen=True, slots=True)
class TrafficOptions:
    """What a Locust process sends; the defaults suit Locust's web interface: a closed loop with as
    many users as are entered there.
    """

    loop: str = "closed"
    shape: str = ""  # of `SHAPES`; empty: Locust's own options set the number of users
    capacity: float = 16  # clients, or arrivals per second, that level 1 of a shape stands for
    seconds: float = 0  # 0: the shape's own
    album: Path = ALBUM
    log: Path | None = None  # file that gets one row per request
    masks_only: bool = False
    key: str = ""  # an API key

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "TrafficOptions":
        """Read LOADTEST_*; a shape determines its loop. Raises SystemExit for an unknown shape."""
        values = {
            name.removeprefix(PREFIX).lower(): value
            for name, value in environment.items()
            if name.startswith(PREFIX) and value
        }
        shape = values.get("shape", "")
        if shape and shape not in SHAPES:
            raise SystemExit(f"LOADTEST_SHAPE={shape} is none of {', '.join(SHAPES)}")
        return cls(
            loop=SHAPES[shape].loop if shape else values.get("loop", "closed"),
            shape=shape,
            capacity=float(values.get("capacity", 16)),
            seconds=float(values.get("seconds", 0)),
            album=Path(values.get("album", ALBUM)),
            log=Path(values["log"]) if "log" in values else None,
            masks_only=values.get("masks_only") == "true",
            key=environment.get("FCNSERVE_KEY", ""),
        )

    def to_environment(self) -> dict[str, str]:
        """Write the variables that `from_environment` reads."""
        values = {
            "LOADTEST_LOOP": self.loop,
            "LOADTEST_SHAPE": self.shape,
            "LOADTEST_CAPACITY": str(self.capacity),
            "LOADTEST_SECONDS": str(self.seconds),
            "LOADTEST_ALBUM": str(self.album),
            "LOADTEST_LOG": str(self.log or ""),
            "LOADTEST_MASKS_ONLY": str(self.masks_only).lower(),
        }
        return values | ({"FCNSERVE_KEY": self.key} if self.key else {})

    def with_shape(self, shape: str, capacity: float, seconds: float) -> "TrafficOptions":
        """Return the same traffic in a shape."""
        return replace(
            self, shape=shape, loop=SHAPES[shape].loop, capacity=capacity, seconds=seconds
        )

    def find_shape(self) -> Shape | None:
        return SHAPES.get(self.shape)
