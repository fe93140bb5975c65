"""Names and pages use the field's terms: no identifier, file name or text uses a retired word.

`IDENTIFIERS` lists words that no class, function, argument, variable or file may contain;
`TEXT` lists words that no page, docstring, comment or configuration may contain either; `FILES`
lists names of files. Each entry gives the term to use.
"""

import ast
import re
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

# a retired word (singular) and the term to use, in text as well as in names
TEXT = {
    "anybody": "any client",
    "cable": "TCP proxy",
    "canary": "liveness probe",
    "contender": "candidate",
    "contest": "run",
    "crowd": "concurrent clients",
    "door": "overload middleware, capacity check",
    "errand": "request",
    "everybody": "all clients",
    "gate": "authenticator",
    "handover": "dispatcher",
    "house": "service",
    "knock": "capacity check",
    "learner": "trainer",
    "lites": "efficientnet_lite",
    "lone": "single, reference",
    "newcomer": "new connection",
    "nobody": "no client",
    "parcel": "queue entry",
    "somebody": "a client",
    "stranger": "unauthenticated client",
    "tally": "counts",
    "verdict": "conclusion",
    "whoever": "the process, the client",
}
# in names only: in a sentence, these are ordinary English
IDENTIFIERS = {
    "ahead": "prefetch",
    "company": "batch mates",
    "course": "data set",
    "drive": "capacity",
    "finding": "YAML error",
    "hosted": "server",
    "judged": "remote predictor",
    "place": "permit, index",
    "recognised": "architecture",
    "said": "output, text",
    "strike": "scenario",
    "ticket": "sequence",
    "told": "with_..., report",
    "wanted": "options",
    "whole": "atomic, complete",
    "who": "client",
    "whose": "of_...",
}
# names of files only
FILES = {
    "answers": "checks",
    "balance": "sampler",
    "children": "subprocesses",
    "dense": "upsample_cuda",
    "foreign": "decoder_errors",
    "form": "multipart",
    "mixed": "multipart_mixed",
    "packing": "archives",
    "paste": "copy_paste",
    "png_rows": "decode",
    "probe": "healthcheck",
    "processes": "supervisor",
    "protocol": "connection",
    "schemas": "openapi_schemas",
    "state": "checkpoint",
    "trial": "try_photo",
    "watch": "memory_sampler",
}
ORDINARY = re.compile("in_?place")  # ordinary English, and a name of torch's
# records of earlier runs and releases, class names of published data sets, and this list
SKIPPED = re.compile(
    r"CHANGELOG\.md|LICENSE|constraints\.txt|loadtest/results/(?!README)|loadtest/.*/requirements/"
    r"|model_store/tools/convert/caffe/data_sets\.py|tests/unit/docs/test_words\.py"
)
TEXT_SUFFIXES = {".py", ".md", ".yml", ".yaml", ".toml", ".sh", ".lua", ".json", ".example", ""}


@cache
def files() -> tuple[str, ...]:
    """Paths of the files that git tracks, but for those skipped."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
        text=True,
    )
    if listing.returncode:
        pytest.skip("not a git clone")
    return tuple(
        name
        for name in listing.stdout.splitlines()
        if not SKIPPED.match(name) and (ROOT / name).is_file()
    )


def identifiers(tree: ast.AST) -> Iterator[str]:
    """All names in a module: defined, used, imported or passed as keywords."""
    for node in ast.walk(tree):
        for field in ("name", "id", "attr", "arg", "asname", "module", "rest"):
            value = getattr(node, field, None)
            if isinstance(value, str):
                yield value


def words(identifier: str) -> set[str]:
    """Split at underscores and capitals, in lower case, in the singular too."""
    parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", identifier)
    lower = {part.lower() for part in parts}
    return lower | {word.removesuffix("s") for word in lower}


@cache
def uses_in_names() -> dict[str, set[str]]:
    """For each word, `file: identifier` of each use."""
    uses = defaultdict(set)
    for name in files():
        found = {Path(name).stem}
        if name.endswith(".py"):
            found |= set(identifiers(ast.parse((ROOT / name).read_text())))
        for identifier in found:
            for word in words(ORDINARY.sub("", identifier)):
                uses[word].add(f"{name}: {identifier}")
    return dict(uses)


@cache
def uses_in_text() -> dict[str, set[str]]:
    """For each word, the lines that contain it."""
    uses = defaultdict(set)
    for name in files():
        if Path(name).suffix not in TEXT_SUFFIXES:
            continue
        for number, line in enumerate((ROOT / name).read_text().splitlines(), 1):
            if "nobody:nogroup" in line:  # a user of Debian's
                continue
            for word in words(line):
                uses[word].add(f"{name}:{number}: {line.strip()}")
    return dict(uses)


@pytest.mark.parametrize("word", sorted(TEXT | IDENTIFIERS))
def test_no_name_contains_a_retired_word(word: str) -> None:
    uses = sorted(uses_in_names().get(word, ()))
    assert uses == [], f"use: {(TEXT | IDENTIFIERS)[word]}"


@pytest.mark.parametrize("word", sorted(TEXT))
def test_no_text_contains_a_retired_word(word: str) -> None:
    uses = sorted(uses_in_text().get(word, ()))
    assert uses == [], f"use: {TEXT[word]}"


@pytest.mark.parametrize("name", sorted(FILES))
def test_no_file_has_a_retired_name(name: str) -> None:
    paths = [path for path in files() if Path(path).stem == name]
    assert paths == [], f"use: {FILES[name]}"


def test_identifiers_are_split_into_words() -> None:
    assert words("HTTPServer_lastSeen") >= {"http", "server", "last", "seen"}
    assert words("two_queues") >= {"queue"}
