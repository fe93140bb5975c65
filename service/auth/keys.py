"""API keys: lines of text in, keys that can be compared with what clients send out. Called by
`service.auth.keys_file`.

A file has one line a key: the SHA-256 of the key in hexadecimal digits, then an optional name for
the log; `#` begins a comment. `fcnserve key` makes keys and their lines. The file discloses no key:
keys are random, so that no list of guesses contains them.
"""

import hashlib
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass

PREFIX = "fcns_"  # by which secret scanners recognise a key
RANDOM_BYTES = 32
# each key that is sent is compared with every line: 0.2 ms for as many as this
MAX_KEYS = 1000

_DIGEST = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9._@-]{1,64}")


class KeysFileError(ValueError):
    """The file cannot be read, or one of its lines is not valid."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key's hash, and its name in the log; not the key itself."""

    digest: str
    name: str

    @property
    def line(self) -> str:
        return f"{self.digest} {self.name}"


@dataclass(frozen=True, slots=True)
class Keys:
    """The valid keys of a text, and the errors in it."""

    valid: tuple[Key, ...]
    errors: tuple[str, ...] = ()


def read_keys(lines: Iterable[str]) -> Keys:
    """Read the lines of a file. Only the file decides which keys are valid, so processes agree.

    An invalid line is ignored, and reported by its number alone: its text may be a key.
    """
    keys: dict[str, Key] = {}
    errors: list[str] = []
    for number, line in enumerate(lines, 1):
        try:
            key = read_line(line, number)
        except KeysFileError as error:
            errors.append(str(error))
            continue
        if key is None:
            continue
        if key.digest in keys:
            errors.append(f"line {number} has a key that a line above it has; remove one")
        elif len(keys) == MAX_KEYS:
            errors.append(f"line {number} and those below are one key too many: {MAX_KEYS} count")
            break
        else:
            keys[key.digest] = key
    if not keys:
        errors.append("there is no key; add a line for each, as `fcnserve key` prints them")
    return Keys(tuple(keys.values()), tuple(errors))


def read_line(line: str, number: int) -> Key | None:
    """Read a line; None where it is blank or a comment. Raises KeysFileError."""
    words = line.partition("#")[0].split()
    return read_key(words, number) if words else None


def read_key(words: list[str], number: int) -> Key:
    """Read the words of a line; the default name is the first digits of the hash."""
    digest, *names = words[0].lower(), *words[1:]
    name = names[0] if names else digest[:8]
    if len(names) > 1 or not _DIGEST.fullmatch(digest) or not _NAME.fullmatch(name):
        raise KeysFileError(
            f"line {number} is no key's; wanted are the 64 hexadecimal digits of a key's SHA-256, "
            "then a name if you like: letters, digits and . _ @ -"
        )
    return Key(digest, name)


def make_key(name: str | None = None) -> tuple[str, Key]:
    """Make a new key; return it, and what the file holds of it. Raises KeysFileError."""
    secret = PREFIX + secrets.token_urlsafe(RANDOM_BYTES)
    digest = hashlib.sha256(secret.encode()).hexdigest()
    return secret, read_key([digest, *([] if name is None else [name])], 1)
