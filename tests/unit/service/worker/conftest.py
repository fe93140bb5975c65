"""What several tests of the worker share."""

from collections.abc import Iterator

import pytest

from tests.support.silent_torchserve import predictions


@pytest.fixture(scope="session")
def port() -> Iterator[int]:
    """Return the port of a server that answers as TorchServe's models would."""
    with predictions() as port:
        yield port
