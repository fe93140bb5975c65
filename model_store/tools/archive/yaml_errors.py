"""pydantic's errors of a `model.yaml` in, messages for the author of that file out.

Called by `model_store.tools.archive.model_folder` and `model_store.tools.create.create`.
"""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from handlers.model_config import ModelConfig

# characters of a wrong value that a message shows
SHOWN_CHARACTERS = 60


def yaml_errors(error: ValidationError) -> list[str]:
    """Write a message for each wrong key: what was seen and what is allowed."""
    return [message_of(each) for each in error.errors(include_url=False)]


def message_of(each: Mapping[str, Any]) -> str:
    key = ".".join(map(str, each["loc"])) or "the file as a whole"
    if each["type"] == "extra_forbidden":
        return f"{key}: there is no such key{suggestion(each['loc'])}"
    if each["type"] == "missing":
        return f"{key}: this key is missing"
    if each["type"] == "value_error":
        return f"{key}: {each['ctx']['error']}" if each["loc"] else str(each["ctx"]["error"])
    return f"{key}: {each['msg']}, and is {str(each['input'])[:SHOWN_CHARACTERS]!r}"


def suggestion(loc: tuple[int | str, ...]) -> str:
    """Name the key that was probably meant, or all keys that exist."""
    keys = keys_at(ModelConfig, loc[:-1])
    meant = get_close_matches(str(loc[-1]), keys, n=1)
    if meant:
        return f"; did you mean {meant[0]}?"
    return f"; there are {', '.join(keys)}" if keys else ""


def keys_at(model: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    """List the keys of the part of `model.yaml` at `loc`; none where `loc` leads to no part."""
    for part in loc:
        field = model.model_fields.get(str(part))
        inner = next(models_in(field.annotation), None) if field else None
        if inner is None:
            return []
        model = inner
    return list(model.model_fields)


def models_in(annotation: object) -> Iterator[type[BaseModel]]:
    """Find the pydantic models that a field's annotation allows."""
    for each in (annotation, *get_args(annotation)):
        if isinstance(each, type) and issubclass(each, BaseModel):
            yield each
