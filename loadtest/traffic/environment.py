"""What a Locust process is told, by environment variables: its container has no command line of
ours.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from loadtest.traffic.album import ALBUM
from loadtest.traffic.shapes import SHAPES, Shape

PREFIX = "LOADTEST_"


@dataclass(frozen=True, slots=True)
class Traffic:
    """Defaults suit Locust's web interface: users who wait, as many as one says there."""

    loop: str = "closed"
    shape: str = ""  # of `SHAPES`; empty: users are what Locust's own options say
    capacity: float = 16  # what 1 stands for in a shape: clients or arrivals a second
    seconds: float = 0  # 0: the shape's own
    album: Path = ALBUM
    log: Path | None = None  # a row a request is written here
    masks_only: bool = False
    key: str = ""  # an API key

    @classmethod
    def told(cls, environment: Mapping[str, str] = os.environ) -> "Traffic":
        """Read LOADTEST_*; a shape knows its loop."""
        told = {
            name.removeprefix(PREFIX).lower(): value
            for name, value in environment.items()
            if name.startswith(PREFIX) and value
        }
        shape = told.get("shape", "")
        if shape and shape not in SHAPES:
            raise SystemExit(f"LOADTEST_SHAPE={shape} is none of {', '.join(SHAPES)}")
        return cls(
            loop=SHAPES[shape].loop if shape else told.get("loop", "closed"),
            shape=shape,
            capacity=float(told.get("capacity", 16)),
            seconds=float(told.get("seconds", 0)),
            album=Path(told.get("album", ALBUM)),
            log=Path(told["log"]) if "log" in told else None,
            masks_only=told.get("masks_only") == "true",
            key=environment.get("FCNSERVE_KEY", ""),
        )

    def environment(self) -> dict[str, str]:
        """Write what `told` reads."""
        told = {
            "LOADTEST_LOOP": self.loop,
            "LOADTEST_SHAPE": self.shape,
            "LOADTEST_CAPACITY": str(self.capacity),
            "LOADTEST_SECONDS": str(self.seconds),
            "LOADTEST_ALBUM": str(self.album),
            "LOADTEST_LOG": str(self.log or ""),
            "LOADTEST_MASKS_ONLY": str(self.masks_only).lower(),
        }
        return told | ({"FCNSERVE_KEY": self.key} if self.key else {})

    def shaped(self, shape: str, capacity: float, seconds: float) -> "Traffic":
        """The same traffic in a shape."""
        return replace(
            self, shape=shape, loop=SHAPES[shape].loop, capacity=capacity, seconds=seconds
        )

    def wanted_shape(self) -> Shape | None:
        return SHAPES.get(self.shape)
