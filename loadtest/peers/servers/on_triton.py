"""Triton through pytriton: its dynamic batcher, and one instance per core.

Triton cannot batch tensors of different shapes, so a photo is one element of bytes, which is also
how its documentation sends compressed images. An instance is a function that pytriton calls in a
thread of its own. Photos are sent as raw binary requests, masks follow a JSON header (binary tensor
data extension): see `loadtest.peers.servers.triton_answer`.
"""

import os
import sysconfig

import numpy as np
from numpy.typing import NDArray
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

from loadtest.peers.servers.photo_work import work_for
from loadtest.peers.servers.setup import Setup

Bytes = NDArray[np.object_]  # (photos, 1)


class Instance:
    """Loads its own model, so that passes of two threads share nothing."""

    def __init__(self, setup: Setup) -> None:
        self._work = work_for(setup)

    @batch
    def __call__(self, photo: Bytes) -> dict[str, Bytes]:
        return {"mask": np.array(self._work.answer(list(photo[:, 0])), np.object_)[:, None]}


def configuration(setup: Setup) -> ModelConfig:
    return ModelConfig(
        max_batch_size=setup.batch,
        batcher=DynamicBatcher(max_queue_delay_microseconds=1000 * setup.wait_ms),
    )


def find_same_python() -> None:
    """Make Triton load this interpreter's library, not another 3.x of the machine."""
    folders = (sysconfig.get_config_var("LIBDIR"), os.environ.get("LD_LIBRARY_PATH"))
    os.environ["LD_LIBRARY_PATH"] = ":".join(filter(None, folders))


if __name__ == "__main__":
    setup = Setup.read()
    find_same_python()
    http_alone = TritonConfig(http_port=setup.port, allow_grpc=False, allow_metrics=False)
    with Triton(config=http_alone) as triton:
        triton.bind(
            model_name="segment",
            infer_func=[Instance(setup) for _ in range(setup.processes)],
            inputs=[Tensor(name="photo", dtype=bytes, shape=(1,))],
            outputs=[Tensor(name="mask", dtype=bytes, shape=(1,))],
            config=configuration(setup),
        )
        triton.serve()
