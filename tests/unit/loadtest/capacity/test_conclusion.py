"""A conclusion warns of disturbed runs."""

import pytest

from loadtest.capacity.conclusion import disturbance_warning


@pytest.mark.parametrize(("used", "is_disturbed"), [(0.05, False), (0.5, True)])
def test_the_report_warns_of_programs_that_disturbed_the_run(
    used: float, is_disturbed: bool
) -> None:
    warning = " ".join(disturbance_warning(used, 2))
    assert ("Other programs used up to 0.5 cores" in warning) == is_disturbed
