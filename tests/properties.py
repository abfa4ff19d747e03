"""How many examples a property is tried with: a fifth by `make test`, all by `make test-all`."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

ALL = bool(os.environ.get("ALL_EXAMPLES"))
"""Set by `make test-long`, which runs what is marked so once more."""

tried_with_all = pytest.mark.all_examples
"""For a whole file: `pytestmark = tried_with_all`."""


def examples(number: int) -> settings:
    return settings(
        deadline=None,
        max_examples=number if ALL else -(-number // 5),
        suppress_health_check=list(HealthCheck),
    )
