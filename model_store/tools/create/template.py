"""What a new model's folder says: a `model.yaml` to be edited, and a card to be filled in."""

from collections.abc import Iterator
from importlib.metadata import version

import yaml

from handlers.model_config import ModelConfig

WORDED = ("name", "version", "architecture", "classes", "background", "palette")

HEAD = """\
# {name}, begun as {what}. docs/models.md tells how to train, check, pack and serve it.
# What else may be said, and what holds where nothing is said, is in handlers/model_config.py.
name: {name} # of the folder, of the archive, and in `model=`
version: {version} # a new one for each that is served, so that answers tell them apart
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

{architecture} with {count} classes, begun as {what} with fcnserve {release}.
What is in brackets is for whoever trains it to say.

- **Classes.** {classes}.
- **Data.** [How many photos, of what, from where; whose they are, and what may be done with them;
  who drew the masks.]
- **Training.** [The command, how long it took and on what.]
- **Scores.** [`fcnserve model evaluate` on photos that it was not trained on: how many, mean IoU,
  and per class.]
- **Fails on.** [What it gets wrong, as far as is known.]
- **Use.** [What it is for, and what it must not be used for.]
"""


# what a card has where nobody has filled it in
BLANK = "- **Data.** ["


def model_yaml(config: ModelConfig, what: str) -> str:
    """Write a configuration with what its keys mean beside them."""
    document = config.model_dump(mode="json", exclude_unset=True)
    words = {name: inline(document[name]) for name in WORDED[:3]}
    rest = {name: value for name, value in document.items() if name not in WORDED}
    return "".join(
        (
            HEAD.format(what=what, **words),
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
    """Write a key with what it holds: innermost parts in one line, a blank line before parts."""
    if not isinstance(value, dict):
        return f"{name}: {inline(value)}\n"
    return "\n" + yaml.safe_dump({name: value}, sort_keys=False, default_flow_style=None)


def inline(value: object) -> str:
    """Write a scalar as YAML, quoted where it has to be."""
    return yaml.safe_dump(value, allow_unicode=True, width=1000).removesuffix("...\n").strip()


def card(config: ModelConfig, what: str) -> str:
    return CARD.format(
        name=config.name,
        architecture=config.architecture,
        count=len(config.classes),
        what=what,
        release=version("fcnserve"),
        classes=", ".join(config.classes),
    )
