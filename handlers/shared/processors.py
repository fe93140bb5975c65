"""How many processors this process may use: those it may run on, and of these as much time as its
control groups allow, as a container's limit does. Called by `service.multiprocess.count`,
`service.worker.worker_count`, `service.app`, `handlers.runtime.device` and `fcnserve.load`.

Our own, because `os.cpu_count` and psutil count all of the machine's, and `os.sched_getaffinity`
does not know limits of time.
"""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")
UNLIMITED = float("inf")


def usable_processors() -> int:
    """Return the number of whole processors, at least 1."""
    return max(1, int(min(len(os.sched_getaffinity(0)), limit_of_time())))


def limit_of_time(cgroups: Path = CGROUPS, own: Path = OWN_CGROUPS) -> float:
    """Return the processors' worth of time that the control groups allow: the least of this
    process's group and those around it (cgroups(7), versions 1 and 2).
    """
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return UNLIMITED
    return min(map(limit_of_group, groups(lines, cgroups)), default=UNLIMITED)


def groups(lines: list[str], cgroups: Path) -> Iterator[Path]:
    """Yield the folders of groups that may limit time; a container sees its own as the root."""
    for line in lines:
        _, controllers, path = line.split(":", 2)  # of version 2, none are named
        if controllers and "cpu" not in controllers.split(","):
            continue
        mounted = cgroups / "cpu" if controllers else cgroups
        inside = PurePosixPath(path).relative_to("/")
        for part in (inside, *inside.parents):
            yield mounted / part


def limit_of_group(folder: Path) -> float:
    """Read the limit of one group; a version's files are absent in the other."""
    if (limit := read(folder / "cpu.max").split()) and limit[0] != "max":  # version 2
        return int(limit[0]) / int(limit[1])
    quota_us, period_us = read(folder / "cpu.cfs_quota_us"), read(folder / "cpu.cfs_period_us")
    if quota_us and period_us and int(quota_us) > 0:  # version 1; -1: no limit
        return int(quota_us) / int(period_us)
    return UNLIMITED


def read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
