"""How thoroughly the property tests look: a little in `make check`, more in `make test`, most in `make soak`."""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("check", max_examples=15, deadline=None)
settings.register_profile("test", max_examples=100, deadline=None)
settings.register_profile("soak", max_examples=5000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "test"))
