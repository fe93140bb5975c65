"""The names of `FCNSERVE_*` variables: a misspelt one is an error, or its limit would not apply.

In: the environment and the names of the settings. Out: one line for each invalid variable.
Called by `service.settings`, whenever settings are read.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches

PREFIX = "FCNSERVE_"

# variables that are read elsewhere; add yours here
NOT_SETTINGS = frozenset(
    {
        "FCNSERVE_BIND",  # docker-compose.yml
        "FCNSERVE_FLIGHT_RECORDS",  # handlers/entry.py, from service/worker/torchserve.py
        "FCNSERVE_KEY",  # fcnserve segment, loadtest/locustfile.py
        "FCNSERVE_LOAD_REPORTS",  # handlers/entry.py, from service/worker/torchserve.py
        "FCNSERVE_TAG",  # docker-compose.yml
        "FCNSERVE_TEST_MARK",  # tests/support/server.py
        "FCNSERVE_URL",  # fcnserve segment
    }
)

# Kubernetes sets variables for the Services of a pod's namespace; for one named fcnserve or
# fcnserve-gateway, their names have our prefix
_SERVICE_LINK = re.compile(
    r"FCNSERVE_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)
_SERVICE_URL = re.compile(r"(tcp|udp|sctp)://")


def wrong_names(environ: Mapping[str, str], settings: Iterable[str]) -> Iterator[str]:
    """Describe each variable that is not a setting, never with its value, which may be a key."""
    known = {PREFIX + name.upper() for name in settings}
    for name in sorted(name for name in environ if name.upper().startswith(PREFIX)):
        if _SERVICE_LINK.fullmatch(name) and name not in known:
            continue
        if name.upper() in known:
            if _SERVICE_URL.match(environ[name]):
                yield service_link_conflict(name)
        elif not (_SERVICE_URL.match(environ[name]) or name in NOT_SETTINGS):
            hint = suggestion(name.upper(), known)
            yield f"{name} is no setting; {hint}; see docs/settings.md"


def service_link_conflict(name: str) -> str:
    service = name.removesuffix("_PORT").replace("_", "-").lower()
    return (
        f"{name} is set by Kubernetes, for its Service {service}; put `enableServiceLinks: false` "
        "into the pod's spec, or give the Service another name"
    )


def suggestion(name: str, known: Iterable[str]) -> str:
    """Suggest the most similar name."""
    names = [other.removeprefix(PREFIX) for other in {*known, *NOT_SETTINGS}]
    close = get_close_matches(name.removeprefix(PREFIX), names, n=1)
    return f"did you mean {PREFIX}{close[0]}?" if close else "unset it"
