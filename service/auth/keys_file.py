"""The file of API keys, looked at once a second: which keys are valid is what it says now.

An empty, missing or unreadable file has no keys, and then every request is refused: a key that was
removed must not stay valid, and a process that starts later must agree with the others. Called by
`service.auth.authenticator`.
"""

import hashlib
import hmac
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from service.auth.keys import Key, Keys, KeysFileError, read_keys

MAX_FILE_BYTES = 1_000_000
MAX_FINDINGS = 10  # told of in one log line
READ_INTERVAL_S = 1.0
# a look that takes longer (a file system that hangs) shows that the keys are unknown: long enough
# for a short disturbance of a network's, which must not turn every request away
STALE_AFTER_S = 10.0

logger = structlog.get_logger("fcnserve.keys")


class KeysFile:
    """The keys of a file: a thread reads it again and again, requests only compare."""

    def __init__(self, path: Path, now: Callable[[], float] = time.monotonic) -> None:
        """Take the path; nothing is read before `check` or `look`, and no key is valid."""
        self._path = path
        self._now = now
        self._looking_since: float | None = None
        self._content: bytes | KeysFileError | None = None
        self._keys = Keys(())

    def check(self) -> None:
        """Read the file at the first start; raises KeysFileError where no key of it is valid.

        Lines that are wrong are left out, as they are later: what a gateway serves with, it can be
        started with again.
        """
        content = self._read()
        if isinstance(content, KeysFileError):
            raise content
        keys = self._parsed(content)
        if not keys.valid:
            raise KeysFileError(f"{self._path}: {told(keys.findings)}")

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Look now, and once a second until the block ends, in a daemon thread."""
        self.look()
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(READ_INTERVAL_S):
                self.look()

        threading.Thread(target=watch, name="keys-file", daemon=True).start()
        try:
            yield
        finally:
            ended.set()

    def look(self) -> None:
        """Read the file, and take its keys where it has changed."""
        self._looking_since = self._now()
        content = self._read()
        if not is_same(content, self._content):
            self._content = content
            self._keys = self._parsed(content)
            self._tell()
        self._looking_since = None

    def find(self, sent: bytes) -> Key | None:
        """Tell whose key this is; how long that takes says nothing of the keys there are."""
        digest = hashlib.sha256(sent).hexdigest()
        found = None
        for key in self._current():
            if hmac.compare_digest(key.digest, digest):
                found = key
        return found

    def _current(self) -> tuple[Key, ...]:
        since = self._looking_since
        if since is not None and self._now() - since > STALE_AFTER_S:
            return ()
        return self._keys.valid

    def _read(self) -> bytes | KeysFileError:
        try:
            return read_regular(self._path)
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else str(error)
            return KeysFileError(
                f"FCNSERVE_API_KEYS_FILE is {self._path}: {reason}; name a file with a line for "
                "each key, as `fcnserve key` prints them"
            )

    def _parsed(self, content: bytes | KeysFileError) -> Keys:
        if isinstance(content, KeysFileError):
            return Keys((), (str(content),))
        return read_keys(content.decode("utf-8-sig", "replace").splitlines())

    def _tell(self) -> None:
        keys = len(self._keys.valid)
        if not keys:
            logger.error("no API key is valid", reason=told(self._keys.findings))
        elif self._keys.findings:
            logger.error("lines of the keys file are left out", reason=told(self._keys.findings))
        logger.info("keys file was read", keys=keys)


def read_regular(path: Path) -> bytes:
    """Read a file; raises OSError where it is no regular one, which might never end, or too large.

    Links are followed, so that a file may be replaced by changing where one points.
    """
    refuse_unless_regular(path.stat())  # opening a device alone may have effects
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor
        refuse_unless_regular(os.fstat(descriptor))
        content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise OSError(f"it has more than {MAX_FILE_BYTES} bytes")
    return content


def refuse_unless_regular(found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise OSError("it is no regular file")


def is_same(content: bytes | KeysFileError, before: bytes | KeysFileError | None) -> bool:
    if isinstance(content, KeysFileError):
        return isinstance(before, KeysFileError) and str(before) == str(content)
    return content == before


def told(findings: tuple[str, ...]) -> str:
    """Write findings in a line, of many the first."""
    more = len(findings) - MAX_FINDINGS
    return "; ".join(findings[:MAX_FINDINGS]) + (f"; and {more} more" if more > 0 else "")
