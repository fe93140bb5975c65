"""API keys: a file of hashes comes in, and who a key belongs to goes out. Called by `service.gate`.

The file has a line a key: the SHA-256 of the key in hexadecimal digits, then a name for the log if
it has one; `#` begins a comment. `fcnserve key` makes keys and their lines. Who reads the file
learns no key from it: keys are random, so that no list of guesses finds them.
"""

import hashlib
import hmac
import os
import re
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import structlog

PREFIX = "fcns_"  # by which a secret scanner, or a person, knows what it has found
RANDOM_BYTES = 32
# every key is compared with every line: 0.2 ms for as many as this
MAX_KEYS = 1000
MAX_FILE_BYTES = 1_000_000
LOOK_EVERY_S = 1.0

_DIGEST = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9._@-]{1,64}")

logger = structlog.get_logger("fcnserve.keys")


class KeysFileError(ValueError):
    """The file cannot be read, or a line of it is no key's."""


@dataclass(frozen=True, slots=True)
class Key:
    """What is known of a key: its hash, and what the log calls it."""

    digest: str
    name: str

    @property
    def line(self) -> str:
        return f"{self.digest} {self.name}"


class KeysFile:
    """The keys of a file, read again when it changes; a broken one leaves the keys as they were."""

    def __init__(self, path: Path, now: Callable[[], float] = time.monotonic) -> None:
        """Take the path; nothing is read before `load`."""
        self._path = path
        self._now = now
        self._looked_at = 0.0
        self._stamp: tuple[int, ...] | None = None
        self._keys: tuple[Key, ...] = ()

    def load(self) -> None:
        """Read the file for the first time; raises KeysFileError."""
        self._looked_at = self._now()
        self._stamp = self._stamp_now()
        self._keys = self._read()

    def find(self, sent: bytes) -> Key | None:
        """Tell whose key this is; how long that takes says nothing of the keys there are."""
        digest = hashlib.sha256(sent).hexdigest()
        found = None
        for key in self._current():
            if hmac.compare_digest(key.digest, digest):
                found = key
        return found

    def _current(self) -> tuple[Key, ...]:
        if self._now() - self._looked_at >= LOOK_EVERY_S:
            self._looked_at = self._now()
            stamp = self._stamp_now()
            if stamp != self._stamp:
                self._stamp = stamp
                self._read_again()
        return self._keys

    def _read_again(self) -> None:
        try:
            self._keys = self._read()
        except KeysFileError as error:
            logger.error("keys file is broken; the old keys stay", reason=str(error))
        else:
            logger.info("keys file was read", keys=len(self._keys))

    def _stamp_now(self) -> tuple[int, ...] | None:
        """What changes with the file; None while there is none."""
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino, found.st_size

    def _read(self) -> tuple[Key, ...]:
        try:
            with self._path.open("rb") as file:
                text = file.read(MAX_FILE_BYTES + 1)
        except OSError as error:
            reason = os.strerror(error.errno or 0)
            raise KeysFileError(
                f"FCNSERVE_API_KEYS_FILE is {self._path}: {reason}; name a file with a line for "
                "each key, as `fcnserve key` prints them"
            ) from error
        if len(text) > MAX_FILE_BYTES:
            raise KeysFileError(f"{self._path} has more than {MAX_FILE_BYTES} bytes")
        try:
            return read_keys(text.decode("utf-8-sig", "replace").splitlines())
        except KeysFileError as error:
            raise KeysFileError(f"{self._path}: {error}") from error


def read_keys(lines: Iterable[str]) -> tuple[Key, ...]:
    """Read the lines of a file; raises KeysFileError. A line that is wrong is never shown: it may
    be a key.
    """
    keys: dict[str, Key] = {}
    for number, line in enumerate(lines, 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        key = read_key(words, number)
        if keys.setdefault(key.digest, key) is not key:
            raise KeysFileError(f"line {number} has a key that a line above it has; remove one")
    if not 1 <= len(keys) <= MAX_KEYS:
        raise KeysFileError(f"there are {len(keys)} keys; 1 to {MAX_KEYS} are allowed")
    return tuple(keys.values())


def read_key(words: list[str], number: int) -> Key:
    """Read the words of a line; without a name a key is called by its hash's first digits."""
    digest, *names = words[0].lower(), *words[1:]
    name = names[0] if names else digest[:8]
    if len(names) > 1 or not _DIGEST.fullmatch(digest) or not _NAME.fullmatch(name):
        raise KeysFileError(
            f"line {number} is no key's; wanted are the 64 hexadecimal digits of a key's SHA-256, "
            "then a name if you like: letters, digits and . _ @ -"
        )
    return Key(digest, name)


def make_key(name: str | None = None) -> tuple[str, Key]:
    """Make a fresh key; return it with what the file has of it. Raises KeysFileError."""
    secret = PREFIX + secrets.token_urlsafe(RANDOM_BYTES)
    digest = hashlib.sha256(secret.encode()).hexdigest()
    return secret, read_key([digest, *([] if name is None else [name])], 1)
