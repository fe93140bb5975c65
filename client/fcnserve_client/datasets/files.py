"""Files that are complete or absent, whenever the program is killed.

In: bytes, or the members of lists one by one. Out: a file that has its name only once all is
written. Called by the writers of `fcnserve_client.datasets`.
"""

import json
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO


def write_file(path: Path, content: bytes) -> None:
    """Write a file beside its place, then rename it; raises OSError."""
    with _replacing(path) as file:
        file.write(content)


def write_json(
    path: Path, head: Mapping[str, Any], lists: Mapping[str, Iterable[Mapping[str, Any]]]
) -> None:
    """Write an object of some members and some lists, without a list in memory; raises OSError."""
    with _replacing(path) as file:
        file.write(json.dumps(head).removesuffix("}").encode())
        for name, members in lists.items():
            file.write(f",\n{json.dumps(name)}: [".encode())
            for number, member in enumerate(members):
                file.write(b",\n" if number else b"\n")
                file.write(json.dumps(member).encode())
            file.write(b"]")
        file.write(b"}\n")


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a draft, which has a short name: that of the file may have the maximum length."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{secrets.token_hex(6)}.part")
    try:
        with draft.open("xb") as file:
            yield file
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
