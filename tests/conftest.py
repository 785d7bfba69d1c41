"""What holds for all tests."""

from hypothesis import settings

# The same examples on every run and no limit by the clock: a busy machine must not turn a test red.
settings.register_profile("parfocal", derandomize=True, deadline=None, max_examples=50)
settings.load_profile("parfocal")
