"""Says what to do when a tool of the installer fails.

In: what the tool wrote. Out: its lines that tell the cause, and one sentence of advice. pip tells
its causes in text only, so this is text matching: a wrong guess costs a less helpful sentence.
Called by `deploy/pip_run.py`.
"""

import re

_DISK = "the disk is full: about 3 GB are needed (CPU build); make room and run it again"
_VENV = "this Python makes no environments; on Debian and Ubuntu: apt install python3.11-venv"
_CERTIFICATE = (
    "the package index shows a certificate that is not trusted here; behind a company proxy, "
    "point PIP_CERT at its certificate file"
)
_NETWORK = (
    "the package index cannot be reached: check the network, and HTTPS_PROXY if there is a "
    "proxy; TORCH_INDEX names another index for torch, and a torch wheel in wheels/ needs none"
)
_MISSING = (
    "this version does not exist for this Python and machine (Linux on x86-64 or ARM is "
    "expected); TORCH_INDEX names another index for torch"
)
_CONFLICT = "pyproject.toml and constraints.txt disagree; `make lock` brings them together"
_HASH = (
    "a package has another hash than the one that was tested: it was damaged, or changed on its "
    "way; try again, and if that stays so do not install it by other means"
)
_DEFAULT = "read the lines above; `make clean` and another try start from scratch"

_UNREACHABLE = (
    "NewConnectionError|NameResolutionError|Name or service not known|Failed to resolve"
    "|Temporary failure in name resolution|Connection refused|Network is unreachable"
    "|Max retries exceeded|ReadTimeout|timed out|ProxyError|Tunnel connection failed"
)

ADVICE = (
    ("No space left on device", _DISK),
    (r"ensurepip is not\s+available|No module named .?(ensurepip|venv)", _VENV),
    ("CERTIFICATE_VERIFY_FAILED", _CERTIFICATE),
    (_UNREACHABLE, _NETWORK),
    ("Permission denied", "the folder is not writable for this user"),
    ("No matching distribution found", _MISSING),
    ("DO NOT MATCH THE HASHES", _HASH),
    ("ResolutionImpossible|conflicting dependencies|require-hashes mode", _CONFLICT),
)
"""What a tool's text shows, and what to do about it; the first match wins."""


class InstallError(Exception):
    """A step of the install failed: says which, the tool's own error and what to do."""

    def __init__(self, step: str, output: str) -> None:
        """Keep of the tool's output what tells the cause."""
        super().__init__(f"{step} failed.\n{cause(output)}\n  What to do: {advice(output)}.")


def advice(output: str) -> str:
    """What to do about a failure, from the text of the tool that failed."""
    for pattern, text in ADVICE:
        if re.search(pattern, output):
            return text
    return _DEFAULT


def cause(output: str) -> str:
    """The lines that tell the cause: pip's errors, else the last ones."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"(\x1b\[[\d;]*m)*(ERROR|OSError)", line)]
    return "\n".join(f"  {line}" for line in (errors or lines)[-6:])
