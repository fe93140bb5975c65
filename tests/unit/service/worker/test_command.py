"""The command line that starts TorchServe's Java program."""

from pathlib import Path

import pytest

from service.settings import Settings
from service.worker.command import command
from service.worker.java import find_java

pytest.importorskip("ts")
pytestmark = pytest.mark.skipif(find_java() is None, reason="no Java is installed")

COMMON_POOL = "-Djava.util.concurrent.ForkJoinPool.common.parallelism"


def test_the_operators_java_options_override_the_programs_own(tmp_path: Path) -> None:
    settings = Settings(java_options=f"-Xmx2g {COMMON_POOL}=3")
    words = command(settings, tmp_path / "config.properties")
    own, others = (index for index, word in enumerate(words) if word.startswith(COMMON_POOL))
    assert words[others] == f"{COMMON_POOL}=3"  # of two, Java takes the last
    assert own < words.index("-Xmx2g") < others < words.index("org.pytorch.serve.ModelServer")


def test_java_keeps_the_threads_that_send_batches(tmp_path: Path) -> None:
    """A common pool of one thread would have CompletableFuture start a thread for each call."""
    words = command(Settings(), tmp_path / "config.properties")
    (option,) = (word for word in words if word.startswith(COMMON_POOL))
    assert int(option.split("=")[1]) > 1
