"""PNGs have the same bytes for the same pixels in whatever thread they are written."""

import platform
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from isal import isal_zlib
from numpy.typing import NDArray

from handlers.shared.png import ISAL_LEVEL, compressed, write_grey, write_grey_alpha, write_rgb
from tests.support import photos

THREADS = 400
STACK_BYTES = 1 << 18  # small, so that all the threads fit beside each other


@contextmanager
def small_stacks() -> Iterator[None]:
    before = threading.stack_size(STACK_BYTES)
    try:
        yield
    finally:
        threading.stack_size(before)


def answers_of_threads(call: Callable[[], list[bytes]]) -> list[set[bytes]]:
    """Return what `call` returns, item by item, in threads that all live at a time: each has a
    stack, and so addresses, of its own.
    """
    answers: list[list[bytes]] = []
    all_done = threading.Barrier(THREADS)

    def answer() -> None:
        answers.append(call())
        all_done.wait(timeout=60)

    with small_stacks():
        threads = [threading.Thread(target=answer) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return [set(item) for item in zip(*answers, strict=True)]


def label_maps() -> list[NDArray[np.uint8]]:
    """Small ones: the fewer the pixels, the fewer places a wrong hash can hit."""
    random = np.random.default_rng(0)
    sides = [(4, 5), (5, 5), (6, 7), (7, 8), (8, 9), (10, 11), (12, 13), (20, 30)]
    return [
        random.choice(np.array([0, 0, 0, 8], np.uint8), size) for size in sides for _ in range(5)
    ]


def test_every_thread_writes_the_same_bytes() -> None:
    maps = label_maps()

    def written() -> list[bytes]:
        grey_alpha = [write_grey_alpha(labels, labels) for labels in maps]
        photo = [write_rgb(photos.photo(5, 6))]
        return [write_grey(labels) for labels in maps] + grey_alpha + photo

    assert {len(variants) for variants in answers_of_threads(written)} == {1}


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the fault is in code for x86-64")
def test_isal_alone_does_not() -> None:
    """If this fails, `compressed` may again be a single call."""
    data = [labels.tobytes() for labels in label_maps()]
    streams = answers_of_threads(lambda: [isal_zlib.compress(item, ISAL_LEVEL) for item in data])
    assert any(len(variants) > 1 for variants in streams)


@given(st.binary(max_size=200) | st.binary(max_size=20).map(lambda item: item * 400))
def test_any_decoder_reads_the_stream(data: bytes) -> None:
    assert zlib.decompress(compressed(memoryview(data))) == data


@pytest.mark.parametrize("size", [1, 2, 15, 16, 17, 18])
def test_data_may_be_as_short_as_the_first_bytes(size: int) -> None:
    data = bytes(range(size))
    assert zlib.decompress(compressed(memoryview(data))) == data
