"""Makes `.venv` and installs the pinned dependencies: `python3.11 deploy/install.py worker test`.

In: extras of pyproject.toml, and the variables TORCH_BUILD (cpu or cuda; unless given, cuda where
there is an NVIDIA GPU) and TORCH_INDEX (a package index for torch). Out: `.venv`, an exit status.
Called by the Makefile and the Dockerfiles.

The standard library alone, and syntax of Python 3.8: an old Python has to get as far as the
sentence with the versions that work.
"""

import argparse
import os
import signal
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHONS = ((3, 11), (3, 12))


def main() -> int:
    """Install the extras on the command line; returns the exit status."""
    if problem := python_problem(sys.version_info[:2]):
        print(f"fcnserve cannot be installed: {problem}", file=sys.stderr)
        return 2
    parser = argparse.ArgumentParser(prog="deploy/install.py", description=__doc__)
    parser.add_argument("extras", nargs="*", metavar="EXTRA", help="worker, test; none: gateway")
    extras = parser.parse_args().extras
    signal.signal(signal.SIGTERM, lambda signum, _frame: sys.exit(128 + signum))  # pip ends too
    sys.path.insert(0, str(ROOT))
    from deploy.advice import InstallError
    from deploy.environment import install, only_one

    try:
        with only_one(ROOT):
            install(ROOT, extras, os.environ)
    except InstallError as error:
        print(f"\nfcnserve: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nfcnserve: interrupted; run it again to continue.", file=sys.stderr)
        return 130
    return 0


def python_problem(version: "tuple[int, ...]") -> str:
    """Return why this Python cannot be used; empty where it can."""
    if version in PYTHONS:
        return ""
    return (
        f"this is Python {'.'.join(map(str, version))}; 3.11 or 3.12 is needed (torch and "
        "TorchServe are pinned for these). Install one (Debian, Ubuntu: apt install python3.11 "
        "python3.11-venv) and name it: make serve PYTHON=python3.11"
    )


if __name__ == "__main__":
    sys.exit(main())
