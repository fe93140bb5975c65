"""The gateway's URL in, what a user reads on the console of `fcnserve serve` out.

Called by `service.all_in_one.run`.
"""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from service.settings import ROOT, Settings

console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)


def announce(url: str, seconds: float, silent: Sequence[str]) -> None:
    """Print that the service is ready, which models do not answer, and a command to try."""
    console.print(f"ready after {seconds:.1f} s: {url}{page_hint(url)}", style="green")
    if silent:
        console.print(f"without {', '.join(silent)}: see above", style="red")
    console.print(f"try, in another terminal:\n\n{suggestion(url)}\n\nCtrl-C stops it.")


def page_hint(url: str) -> str:
    """Write what a browser finds there, where the settings open it."""
    if not Settings().open_docs:
        return ""
    return f" (in a browser: a page to try photos; API documentation: {url}/docs)"


def suggestion(url: str) -> str:
    """Write a command line to be pasted into a shell in this folder.

    Where the service has API keys, the line takes the key from the shell's environment.
    """
    program = from_here(Path(sys.executable).with_name("fcnserve"))
    photo = from_here(ROOT / "service" / "samples" / "cat.jpg")
    line = f"{program} segment {photo} --output overlay -o overlay.png --url {url}"
    if not (keys_file := Settings().api_keys_file):
        return f"  {line}"
    return (
        f'  FCNSERVE_KEY="${{FCNSERVE_KEY:?set it to an API key}}" {line}\n\n'
        f"with a key that {keys_file} has a line for; {program} key NAME makes both."
    )


def from_here(path: Path) -> str:
    """Write a path relative to the current folder, where it is inside, quoted for a shell."""
    here = Path.cwd()
    return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else path))
