"""Settings of all suites."""

from hypothesis import settings

# how long an example takes says how busy the machine is
settings.register_profile("fcnserve", deadline=None)
settings.load_profile("fcnserve")
