"""The file of API keys, read once a second: the keys that are valid now are those of the file.

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
MAX_LOGGED_ERRORS = 10  # in one log line
READ_INTERVAL_S = 1.0
# while one reading takes longer (a file system that hangs), no key is valid; long enough for a
# short disturbance of a network file system
STALE_AFTER_S = 10.0

logger = structlog.get_logger("fcnserve.keys")


class KeysFile:
    """The keys of a file, which a thread reads once a second; requests only compare."""

    def __init__(self, path: Path, now: Callable[[], float] = time.monotonic) -> None:
        """Take the path; no key is valid before `reload`."""
        self._path = path
        self._now = now
        self._reading_since_s: float | None = None
        self._content: bytes | KeysFileError | None = None
        self._keys = Keys(())

    def check(self) -> None:
        """Read the file before the gateway starts; raises KeysFileError where it has no valid key.

        Invalid lines are ignored, as they are later: a gateway can be restarted with the file with
        which it runs.
        """
        content = self._read()
        if isinstance(content, KeysFileError):
            raise content
        keys = self._parsed(content)
        if not keys.valid:
            raise KeysFileError(f"{self._path}: {summary(keys.errors)}")

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Reload now, and once a second until the block ends, in a daemon thread."""
        self.reload()
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(READ_INTERVAL_S):
                self.reload()

        threading.Thread(target=watch, name="keys-file", daemon=True).start()
        try:
            yield
        finally:
            ended.set()

    def reload(self) -> None:
        """Read the file, and take its keys where it has changed."""
        self._reading_since_s = self._now()
        content = self._read()
        if not is_same(content, self._content):
            self._content = content
            self._keys = self._parsed(content)
            self._log()
        self._reading_since_s = None

    def find(self, sent: bytes) -> Key | None:
        """Return the valid key that was sent, or None, in a time that discloses no key."""
        digest = hashlib.sha256(sent).hexdigest()
        found = None
        for key in self._valid_keys():
            if hmac.compare_digest(key.digest, digest):
                found = key
        return found

    def _valid_keys(self) -> tuple[Key, ...]:
        since_s = self._reading_since_s
        if since_s is not None and self._now() - since_s > STALE_AFTER_S:
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

    def _log(self) -> None:
        keys = len(self._keys.valid)
        if not keys:
            logger.error("no API key is valid", reason=summary(self._keys.errors))
        elif self._keys.errors:
            logger.error("lines of the keys file are left out", reason=summary(self._keys.errors))
        logger.info("keys file was read", keys=keys)


def read_regular(path: Path) -> bytes:
    """Read a file; raises OSError where it is too large, or not a regular file, whose reading might
    never end. Links are followed, so that a file may be replaced by a link to another.
    """
    refuse_unless_regular(path.stat())  # opening a device may have effects
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


def summary(errors: tuple[str, ...]) -> str:
    """Join errors in one line, of many the first."""
    more = len(errors) - MAX_LOGGED_ERRORS
    return "; ".join(errors[:MAX_LOGGED_ERRORS]) + (f"; and {more} more" if more > 0 else "")
