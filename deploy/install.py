"""Makes `.venv` and installs the pinned dependencies: `python3.11 deploy/install.py worker test`.

In: extras of pyproject.toml. Out: a `.venv` that holds them. Called by the Makefile before each
command; when nothing has changed since the last time it only reads one small file.
The standard library alone, and nothing newer than Python 3.8 here: an old Python must get as far
as the sentence that says which one is needed.
"""

import argparse
import signal
import sys
from pathlib import Path

OLDEST_PYTHON = (3, 11)
NEWEST_PYTHON = (3, 12)

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Install the extras named on the command line; returns the exit status."""
    problem = python_problem(sys.version_info[:2])
    if problem:
        print("fcnserve cannot be installed: " + problem, file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, _stop)
    sys.path.insert(0, str(ROOT))
    from deploy.environment import install

    return install(ROOT, parse_extras())


def python_problem(version: "tuple[int, ...]") -> str:
    """What is wrong with running under this Python; empty when nothing is."""
    if OLDEST_PYTHON <= version <= NEWEST_PYTHON:
        return ""
    return (
        f"this is Python {_dotted(version)}; {_dotted(OLDEST_PYTHON)} or {_dotted(NEWEST_PYTHON)} "
        f"is needed (torch and TorchServe are pinned for these). Install one (Debian, Ubuntu: "
        f"apt install python3.11 python3.11-venv) and name it: make serve PYTHON=python3.11"
    )


def parse_extras() -> "frozenset[str]":
    """The extras named on the command line."""
    parser = argparse.ArgumentParser(prog="deploy/install.py", description=__doc__)
    parser.add_argument("extras", nargs="*", metavar="EXTRA", help="worker, test; none: gateway")
    return frozenset(parser.parse_args().extras)


def _dotted(version: "tuple[int, ...]") -> str:
    return ".".join(str(part) for part in version)


def _stop(signum: int, _frame: object) -> None:
    """Leave through `finally` blocks, so that a running pip is stopped too."""
    sys.exit(128 + signum)


if __name__ == "__main__":
    sys.exit(main())
