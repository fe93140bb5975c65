"""Settings of all suites, and which tests run beside each other."""

from pathlib import PurePosixPath

import pytest
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

ONE_SERVICE = PurePosixPath("tests/integration")

# how long an example takes says how busy the machine is
settings.register_profile("fcnserve", deadline=None)
settings.load_profile("fcnserve")


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadFileScheduling:
    """With `-n`, run files beside each other, and those of one service after one another."""
    return ByService(config, log)


class ByService(LoadFileScheduling):
    """Gives the tests of a file, and all files that share a service, to one process."""

    def _split_scope(self, nodeid: str) -> str:
        file = PurePosixPath(super()._split_scope(nodeid))
        return str(ONE_SERVICE if file.is_relative_to(ONE_SERVICE) else file)
