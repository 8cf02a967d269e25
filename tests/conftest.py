"""Hypothesis draws more examples in `make soak`."""

from hypothesis import settings

from tests.soak import times

settings.register_profile("soak", max_examples=times(settings.default.max_examples))
settings.load_profile("soak")
