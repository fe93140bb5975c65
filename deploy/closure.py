"""Says which installed packages each extra needs, directly or not: run in the environment of
`make lock`, whose Python has them all.

In: requirements by extra, as JSON on standard input. Out: by package its version and the extras
that need it, likewise. Called by `deploy/lock.py`.
"""

import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from importlib.metadata import distribution, version

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def main() -> None:
    """Follow the requirements of every extra."""
    needed_by = defaultdict(list)
    for extra, requirements in json.load(sys.stdin).items():
        for name in sorted(needed(requirements)):
            needed_by[name].append(extra)
    found = {name: [version(name), extras] for name, extras in sorted(needed_by.items())}
    json.dump(found, sys.stdout)


def needed(requirements: Iterable[str]) -> set[str]:
    """Name all that these requirements bring along on this machine."""
    found: set[tuple[str, str]] = set()
    left = [pair for requirement in requirements for pair in wanted(requirement, "")]
    while left:
        name, extra = pair = left.pop()
        if pair not in found:
            found.add(pair)
            for requirement in distribution(name).requires or ():
                left.extend(wanted(requirement, extra))
    return {name for name, _ in found}


def wanted(requirement: str, extra: str) -> Iterator[tuple[str, str]]:
    """Give the package of a requirement with each extra that it names, where it applies here."""
    parsed = Requirement(requirement)
    if parsed.marker is None or parsed.marker.evaluate({"extra": extra}):
        for its_extra in ("", *parsed.extras):
            yield canonicalize_name(parsed.name), its_extra


if __name__ == "__main__":
    main()
