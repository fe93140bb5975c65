"""Files, modules and members that docstrings and docs name exist, and a module is used where its
docstring claims.
"""

import ast
import builtins
import io
import re
import tokenize
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FOLDERS = ("service", "handlers", "client", "model_store", "loadtest", "deploy", "tests")
SOURCES = sorted(file for folder in FOLDERS for file in (ROOT / folder).rglob("*.py"))
PAGES = sorted(
    file
    for pattern in (
        *("*.md", "docs/*.md", "loadtest/*.md", "loadtest/peers/*.md", "service/**/*.md"),
        "client/*.md",
    )
    for file in ROOT.glob(pattern)
    if file.name != "CHANGELOG.md"  # names earlier files, too
)
OTHERS = ("*.yml", "*.toml", "*.txt", "Makefile", ".env.example", "deploy/**/*", "loadtest/*.lua")

PACKAGES = [name if name != "client" else "fcnserve_client" for name in FOLDERS]
OWN = re.compile(rf"`((?:{'|'.join(PACKAGES)})(?:\.\w+)+)(?:\(\))?`")
# with an underscore, a dot or parentheses; a plain word may be the name of any program
NAME = re.compile(r"`((?=\w*[_.(])[A-Za-z_][\w.]*)(?:\(\))?`")
PATH = re.compile(rf"(?<![\w./-])((?:{'|'.join(FOLDERS)}|docs)/[\w./-]+\.\w+)")
CALLER_LIST = re.compile(
    r"\b(?:[Cc]alled|[Rr]ead|[Rr]un|[Aa]sked|[Uu]sed) by ((?:[^.;]|\.(?=\w))*)"
)

# names in other programs, which no code here uses
FOREIGN = {
    *("LOAD_TRUNCATED_IMAGES", "Z_RLE", "chelsea", "fast_queue", "max_queue_delay"),
    *(
        "run_in_threadpool",
        "skimage",
        "start_http_server",
        "surgery",
        "torch_handler",
        "use_mkldnn",
    ),
    "on_NAME",  # a pattern of names
}
# written by the commands that the pages show
WRITTEN = {"model_store/pets/training/val.txt"}


def docs_of(source: Path) -> Iterator[str]:
    """The docstrings and comments of a file."""
    for token in tokens(source):
        if token.type == tokenize.COMMENT or is_docstring(token):
            yield token.string


def tokens(source: Path) -> Iterable[tokenize.TokenInfo]:
    return tokenize.generate_tokens(io.StringIO(source.read_text()).readline)


def is_docstring(token: tokenize.TokenInfo) -> bool:
    return token.type == tokenize.STRING and token.string.startswith('"""')


@cache
def known_words() -> frozenset[str]:
    """All names in code, configuration and file paths."""
    words = set(dir(builtins)) | FOREIGN
    for source in SOURCES:
        for token in tokens(source):
            if token.type in {tokenize.NAME, tokenize.STRING} and not is_docstring(token):
                words.update(re.findall(r"\w+", token.string))
    for file in {file for pattern in OTHERS for file in ROOT.glob(pattern) if file.is_file()}:
        words.update(re.findall(r"\w+", file.read_text(errors="replace")), {file.stem})
    for source in [*SOURCES, *PAGES]:
        words.update(source.stem.split("."), source.relative_to(ROOT).parts)
    return frozenset(words | {"md", "py", "yml"})


def module_of(dotted: str) -> tuple[Path | None, list[str]]:
    """Split a dotted name into its module's file and the members named after it."""
    parts, folder = dotted.split("."), root_of(dotted)
    while parts and (folder / parts[0]).is_dir():
        folder /= parts.pop(0)
    if parts and (folder / f"{parts[0]}.py").exists():
        return folder / f"{parts.pop(0)}.py", parts
    package = folder / "__init__.py"
    return (package if package.exists() else None), parts


def root_of(dotted: str) -> Path:
    """The folder from which a package is imported."""
    return ROOT / "client" if dotted.startswith("fcnserve_client") else ROOT


def exists(dotted: str) -> bool:
    if (root_of(dotted) / dotted.replace(".", "/")).is_dir() or dotted.endswith((".py", ".md")):
        return True
    file, members = module_of(dotted)
    text = file.read_text() if file else ""
    return file is not None and all(re.search(rf"\b{name}\b", text) for name in members)


@pytest.mark.parametrize("file", [*SOURCES, *PAGES], ids=lambda file: str(file.relative_to(ROOT)))
def test_each_name_that_a_file_mentions_exists(file: Path) -> None:
    texts = list(docs_of(file)) if file.suffix == ".py" else [file.read_text()]
    missing: set[str] = set()
    for text in texts:
        missing |= {name for name in OWN.findall(text) if not exists(name)}
        missing |= {
            name for name in NAME.findall(text) if not known_words().issuperset(words(name))
        }
        missing |= {path for path in PATH.findall(text) if not (ROOT / path.rstrip(".")).exists()}
    assert missing - WRITTEN == set(), "correct the name, or add one of another program to FOREIGN"


def words(name: str) -> set[str]:
    return {word for word in name.split(".") if word and not word.isdigit()}


@pytest.mark.parametrize("source", SOURCES, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_module_is_used_where_its_docstring_claims(source: Path) -> None:
    docstring = ast.get_docstring(ast.parse(source.read_text())) or ""
    for callers in CALLER_LIST.findall(docstring):
        for caller in re.findall(r"`([\w./]+)`", callers):
            files = files_of(caller.removesuffix(".py").replace("/", "."))
            assert not files or any(uses(file, source) for file in files), caller


def files_of(dotted: str) -> list[Path]:
    """The files of a module or of a package; none where it is neither."""
    folder = root_of(dotted) / dotted.replace(".", "/")
    if folder.is_dir():
        return sorted(folder.rglob("*.py"))
    return [file] if (file := folder.with_name(f"{folder.name}.py")).exists() else []


def uses(caller: Path, source: Path) -> bool:
    """Whether a file imports a module, or runs it by its file's name."""
    package = ".".join(source.relative_to(ROOT).parent.parts).removeprefix("client.")
    names = (f"{package}.{source.stem}", f"from {package} import", source.name)
    return any(name in code_of(caller) for name in names)


@cache
def code_of(source: Path) -> str:
    """A file without its docstrings."""
    code = " ".join(token.string for token in tokens(source) if not is_docstring(token))
    return code.replace(" . ", ".")


def test_a_name_that_does_not_exist_is_reported() -> None:
    assert not exists("service.auth.keys.no_such_function")
    assert not exists("loadtest.no_such_module")
    assert exists("service.auth.keys.read_keys")
    assert not known_words().issuperset(words("no_such" + "_name_at_all"))
    assert not uses(ROOT / "service/auth/keys.py", ROOT / "service/auth/rate_limit.py")
