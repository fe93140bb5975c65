"""A checkpoint file in, its tensors by name out; code that a file may hold is never run."""

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

# where training scripts put a network's state beside the optimiser's
WRAPPINGS = ("model_state_dict", "state_dict", "model")
# what the readers raise for files that are none, broken, or hold more than tensors
UNREADABLE = (
    *(SafetensorError, pickle.UnpicklingError, RuntimeError, ValueError, TypeError, LookupError),
    *(AttributeError, AssertionError, EOFError, OSError, struct.error),
)
# of torch.nn.DataParallel
PARALLEL = "module."


class Unread:
    """Stands for a number of numpy, such as a score that training wrote beside the weights."""

    def __init__(self, *_parts: object) -> None:
        """Take what numpy would make it of."""

    def __setstate__(self, _state: object) -> None:
        """Take what numpy would set."""


# numpy's own are not called; of version 2, and before
NUMBERS: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    (Unread, name)
    for name in ("numpy.dtype", "numpy._core.multiarray.scalar", "numpy.core.multiarray.scalar")
]


class CheckpointError(ValueError):
    """A checkpoint that cannot be read, or is of no kind that is known."""


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
    """Read what torch saved. What torch says of a failure advises to run the file's code, which may
    do anything, and is not passed on.
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
    """Unwrap a state dict: only tensors by name."""
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
