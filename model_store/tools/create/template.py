"""A configuration in, the text of a new model's `model.yaml` and `CARD.md` out.

Called by `model_store.tools.create.create`.
"""

from collections.abc import Iterator
from importlib.metadata import version

import yaml

from handlers.model_config import ModelConfig

COMMENTED_KEYS = ("name", "version", "architecture", "classes", "background", "palette")

HEAD = """\
# {name}, started from {start}. docs/models.md explains how to train, check, pack and serve it.
# All keys and their defaults are in handlers/model_config.py.
name: {name} # of the folder, of the archive, and in `model=`
version: {version} # a new one for each that is served, so that answers distinguish them
architecture: {architecture} # changing it takes other weights
"""

CLASSES = """
# their numbers in masks are 0, 1, 2 ...
classes:
"""

BACKGROUND = """
# the class that is none of the others, which overlays leave unpainted; null: there is none
background: {name}
"""

PALETTE = """
# [red, green, blue] in masks and overlays, a colour a class
palette:
"""

CARD = """\
# {name}

{architecture} with {count} classes, started from {start} with fcnserve {release}.
Text in brackets is to be replaced when it is trained.

- **Classes.** {classes}.
- **Data.** [How many photos, of what, from where; whose they are, and what may be done with them;
  who drew the masks.]
- **Training.** [The command, how long it took and on what.]
- **Scores.** [`fcnserve model evaluate` on photos that it was not trained on: how many, mean IoU,
  and per class.]
- **Fails on.** [What it gets wrong, as far as known.]
- **Use.** [What it is for, and what it must not be used for.]
"""


# marks a card that has not been filled in
BLANK = "- **Data.** ["


def model_yaml(config: ModelConfig, start: str) -> str:
    """Write a configuration as YAML, with comments that explain its keys."""
    document = config.model_dump(mode="json", exclude_unset=True)
    head = {name: inline(document[name]) for name in COMMENTED_KEYS[:3]}
    rest = {name: value for name, value in document.items() if name not in COMMENTED_KEYS}
    return "".join(
        (
            HEAD.format(start=start, **head),
            *(entry(name, value) for name, value in rest.items()),
            CLASSES,
            *(f"  - {inline(name)}\n" for name in config.classes),
            BACKGROUND.format(name=inline(background_of(config))),
            PALETTE,
            *colour_lines(config),
        )
    )


def background_of(config: ModelConfig) -> str | None:
    return None if config.background_id is None else config.classes[config.background_id]


def colour_lines(config: ModelConfig) -> Iterator[str]:
    for name, colour in zip(config.classes, config.palette, strict=True):
        yield f"  - {list(colour)} # {name}\n"


def entry(name: str, value: object) -> str:
    """Write a key and its value: innermost mappings in one line, a blank line before a mapping."""
    if not isinstance(value, dict):
        return f"{name}: {inline(value)}\n"
    return "\n" + yaml.safe_dump({name: value}, sort_keys=False, default_flow_style=None)


def inline(value: object) -> str:
    """Write a scalar as YAML, quoted where YAML requires it."""
    return yaml.safe_dump(value, allow_unicode=True, width=1000).removesuffix("...\n").strip()


def card(config: ModelConfig, start: str) -> str:
    """Write a model card to be filled in."""
    return CARD.format(
        name=config.name,
        architecture=config.architecture,
        count=len(config.classes),
        start=start,
        release=version("fcnserve"),
        classes=", ".join(config.classes),
    )
