"""The limit on open files, raised to what the connections need. Called by `service.server.run`."""

import resource

import structlog

from service.server.http1.connection_limits import ConnectionLimits
from service.settings import Settings

# files that a process has open beside connections
OTHER_FILES = 256

logger = structlog.get_logger("fcnserve.gateway")


def within_open_files(settings: Settings, processes: int) -> Settings:
    """Allow as many open files as the connections of one of the processes need; where that is not
    allowed, return settings with fewer connections.
    """
    requested = ConnectionLimits.of(settings, processes).max_connections
    possible = allow_open_files(requested)
    if possible == requested:
        return settings
    return settings.model_copy(update={"max_connections": possible * processes})


def allow_open_files(connections: int) -> int:
    """Raise this process's limit on open files to what so many connections need; return for how
    many connections it suffices, and log a warning where these are fewer.
    """
    # as many connections again may be closing
    needed = requested = 2 * connections + OTHER_FILES
    soft_limit, hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard_limit != resource.RLIM_INFINITY:
        requested = min(requested, hard_limit)
    if resource.RLIM_INFINITY != soft_limit < requested:
        resource.setrlimit(resource.RLIMIT_NOFILE, (requested, hard_limit))
    if requested >= needed:
        return connections
    possible = max(1, (requested - min(OTHER_FILES, requested // 2)) // 2)
    logger.warning(
        "the limit on open files allows fewer connections; raise it (ulimit -n), or lower "
        "FCNSERVE_MAX_CONNECTIONS",
        open_files=requested,
        needed=needed,
        max_connections=possible,
    )
    return possible
