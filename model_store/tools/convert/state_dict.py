"""A checkpoint file in, its tensors by name out; code that a file may hold is never run.

Called by `convert`, `check`, `create` and `weights`.
"""

import pickle
import struct
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

Tensors = dict[str, Tensor]

# keys under which training scripts store a network's state dict beside the optimiser's
WRAPPINGS = ("model_state_dict", "state_dict", "model")
# what the readers raise for files that are no checkpoint, broken, or hold more than tensors
UNREADABLE = (
    *(SafetensorError, pickle.UnpicklingError, RuntimeError, ValueError, TypeError, LookupError),
    *(AttributeError, AssertionError, EOFError, OSError, struct.error),
)
# the prefix that torch.nn.DataParallel adds
PARALLEL = "module."


class IgnoredNumber:
    """Replaces a numpy number, such as a score that training stored beside the weights."""

    def __init__(self, *_parts: object) -> None:
        """Accept the arguments of numpy's constructor."""

    def __setstate__(self, _state: object) -> None:
        """Accept the state of a pickled numpy number."""


# in place of numpy's own constructors, by their names in numpy 2 and before
NUMBERS: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    (IgnoredNumber, name)
    for name in ("numpy.dtype", "numpy._core.multiarray.scalar", "numpy.core.multiarray.scalar")
]


class CheckpointError(ValueError):
    """A checkpoint that cannot be read, or has an unknown layout."""


def read_checkpoint(file: Path) -> Tensors:
    """Read a `.safetensors` file, or a state dict that torch saved; raises CheckpointError."""
    if not file.is_file():
        raise CheckpointError(f"there is no file {file}")
    state = read_tensors(file) if file.suffix == ".safetensors" else load_pickled(file)
    return {name.removeprefix(PARALLEL): tensor for name, tensor in tensors_of(file, state).items()}


def read_tensors(file: Path) -> Tensors:
    try:
        return load_file(file)
    except UNREADABLE as error:
        raise CheckpointError(f"{file} holds no tensors that can be read: {error}") from error


def load_pickled(file: Path) -> Any:
    """Read what torch saved; raises CheckpointError.

    torch's own message is not passed on: it advises to run the file's code, which may do anything.
    """
    try:
        with torch.serialization.safe_globals(NUMBERS), warnings.catch_warnings(action="ignore"):
            return torch.load(file, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        raise CheckpointError(
            f"{file} holds no tensors that can be read without running its code, or is damaged; "
            "where it was made, save the network's state_dict() with "
            "safetensors.torch.save_file(), and take that file"
        ) from error


def tensors_of(file: Path, state: Any) -> Tensors:
    """Unwrap a state dict: only tensors by name; raises CheckpointError."""
    for wrapping in WRAPPINGS:
        if isinstance(state, Mapping) and isinstance(state.get(wrapping), Mapping):
            state = state[wrapping]
    if not isinstance(state, Mapping) or not state:
        raise CheckpointError(f"{file} holds {type(state).__name__}, no state dict")
    others = [str(name) for name, value in state.items() if not isinstance(value, Tensor)]
    if others:
        raise CheckpointError(
            f"{file} holds other things than tensors: {', '.join(others[:5])}; save the network's "
            "state_dict() alone"
        )
    return {str(name): tensor for name, tensor in state.items()}
