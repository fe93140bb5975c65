"""`python -m loadtest.gpu_check` (`make gpu-check`): what a GPU tells about this code in minutes.

Options and wiring. `--stage` runs one stage in this process, as `loadtest.gpu_check.runner` does.
"""

import argparse
import os
import shlex
import signal
import sys
from functools import partial
from importlib import import_module
from pathlib import Path

from loadtest.gpu_check.catalogue import DRY, FULL, STAGES
from loadtest.gpu_check.results import STEM, Results, to_line
from loadtest.gpu_check.runner import (
    ROOT,
    exit_status,
    import_name,
    run_stages,
    stage_command,
)

ALARM_S = 5
OUT = ROOT / "build" / "results" / "gpu-check"


def main(arguments: list[str] | None = None) -> int:
    """Run the check; returns its exit status."""
    options = parser().parse_args(arguments)
    if options.stage:
        return print_items(options.stage, dry=options.dry_run)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    names = [name for name in STAGES if name in (options.only or STAGES)]
    command = shlex.join(["python", "-m", "loadtest.gpu_check", *(arguments or sys.argv[1:])])
    results = Results(options.out, names, command)
    results.log.unlink(missing_ok=True)
    run_stages(results, partial(stage_command, dry=options.dry_run), has_gpu=not options.dry_run)
    if any(STAGES[name].missing() for name in names):
        print("give another Python with PYTHON=, or bring packages as docs/gpu.md says")
    print(f"the page: {options.out / STEM}.md")
    return exit_status(results)


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m loadtest.gpu_check", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--out", type=Path, default=OUT, help="folder for .md, .json and .log")
    parser.add_argument(
        "--only", action="append", choices=list(STAGES), help="this stage; may be repeated"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="on the CPU and small: does each stage run?"
    )
    parser.add_argument("--stage", choices=list(STAGES), help=argparse.SUPPRESS)
    return parser


def print_items(name: str, *, dry: bool) -> int:
    """Run a stage here; its items go to standard output, all else that is printed to the log."""
    with os.fdopen(os.dup(1), "w", buffering=1) as lines:
        os.dup2(2, 1)
        stage = import_module(import_name(STAGES[name]))
        # where the runner is killed, too
        signal.alarm(int(STAGES[name].limit_s) + ALARM_S)
        for item in stage.run(DRY if dry else FULL):
            lines.write(to_line(item))
    return 0


if __name__ == "__main__":
    sys.exit(main())
