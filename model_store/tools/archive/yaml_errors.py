"""What pydantic found wrong with a `model.yaml`, in the words of who writes one."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from handlers.model_config import ModelConfig

SHOWN = 60


def findings_of(error: ValidationError) -> list[str]:
    """Say of each key that is wrong what was seen and what is wanted."""
    return [finding(each) for each in error.errors(include_url=False)]


def finding(each: Mapping[str, Any]) -> str:
    key = ".".join(map(str, each["loc"])) or "the file as a whole"
    if each["type"] == "extra_forbidden":
        return f"{key}: there is no such key{suggestion(each['loc'])}"
    if each["type"] == "missing":
        return f"{key}: this key is missing"
    if each["type"] == "value_error":
        return f"{key}: {each['ctx']['error']}" if each["loc"] else str(each["ctx"]["error"])
    return f"{key}: {each['msg']}, and is {str(each['input'])[:SHOWN]!r}"


def suggestion(loc: tuple[int | str, ...]) -> str:
    """Name the key that was probably meant, or all that there are."""
    keys = keys_at(ModelConfig, loc[:-1])
    meant = get_close_matches(str(loc[-1]), keys, n=1)
    if meant:
        return f"; did you mean {meant[0]}?"
    return f"; there are {', '.join(keys)}" if keys else ""


def keys_at(model: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    for part in loc:
        field = model.model_fields.get(str(part))
        inner = next(models_in(field.annotation), None) if field else None
        if inner is None:
            return []
        model = inner
    return list(model.model_fields)


def models_in(annotation: object) -> Iterator[type[BaseModel]]:
    """Find the parts of `model.yaml` that a field may hold."""
    for each in (annotation, *get_args(annotation)):
        if isinstance(each, type) and issubclass(each, BaseModel):
            yield each
