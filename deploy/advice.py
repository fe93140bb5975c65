"""Explains why a step of the installer failed, and what to do about it.

In: pip's log, or what another tool wrote. Out: the lines with the cause, and one sentence of
advice. pip reports causes as text only, so this matches text: a wrong guess costs a less helpful
sentence. Called by `deploy/install.py`.
"""

import re

_HASH = (
    "a package has another hash than the one that was tested: it was damaged, or changed on its "
    "way; try again, and if that stays so do not install it by other means"
)
_DISK = "the disk is full: about 3 GB are needed (CPU build); make room and run it again"
_VENV = "this Python makes no environments; on Debian and Ubuntu: apt install python3.11-venv"
_CERTIFICATE = (
    "the package index shows a certificate that is not trusted here; behind a company proxy, "
    "point PIP_CERT at its certificate file"
)
_CONFLICT = "pyproject.toml and constraints.txt disagree; `make lock` brings them together"
_NETWORK = (
    "the package index cannot be reached: check the network, and HTTPS_PROXY if there is a proxy; "
    "TORCH_INDEX names another index for torch, and PIP_FIND_LINKS a folder of wheels"
)
_MISSING = (
    "this version does not exist for this Python and machine (Linux on x86-64 or ARM is "
    "expected); TORCH_INDEX names another index for torch, PIP_FIND_LINKS a folder of wheels"
)
_DEFAULT = "read the lines above; `make clean` and another try start from scratch"

_UNREACHABLE = (
    "NewConnectionError|NameResolutionError|Name or service not known|Failed to resolve"
    "|Temporary failure in name resolution|Connection refused|Network is unreachable"
    "|Max retries exceeded|ReadTimeout|timed out|ProxyError|Tunnel connection failed"
)

# the first match wins: what an index out of reach may precede comes before it
ADVICE = (
    ("DO NOT MATCH THE HASHES", _HASH),
    ("No space left on device", _DISK),
    (r"ensurepip is not\s+available|No module named .?(ensurepip|venv)", _VENV),
    ("Permission denied", "the folder is not writable for this user"),
    ("CERTIFICATE_VERIFY_FAILED", _CERTIFICATE),
    ("require-hashes mode", _CONFLICT),
    (_UNREACHABLE, _NETWORK),
    ("No matching distribution found|Cannot install torch", _MISSING),
    ("ResolutionImpossible|conflicting dependencies", _CONFLICT),
)


class InstallError(Exception):
    """A step of the installation failed; the message has the step, the cause and the advice."""

    def __init__(self, step: str, output: str) -> None:
        super().__init__(f"{step} failed.\n{cause(output)}\n  What to do: {advice(output)}.")


def advice(output: str) -> str:
    relevant = messages(output) or output
    return next((text for pattern, text in ADVICE if re.search(pattern, relevant)), _DEFAULT)


def cause(output: str) -> str:
    """Return the errors, or else the last lines; at most six."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in messages(output).splitlines() if not line.startswith("WARNING")]
    return "\n".join(f"  {line}" for line in (errors or lines)[-6:])


def messages(output: str) -> str:
    """Return the errors and warnings of pip's log, which has details and times besides."""
    return "\n".join(re.findall(r"^(?:[\d:,T-]+ )?((?:ERROR|WARNING|OSError).*)", output, re.M))
