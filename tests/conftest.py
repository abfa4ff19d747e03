"""What all tests share: one server on the echo model, and the weights that `make test` has fetched."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from sizewise.catalog.read import embedded, lies
from sizewise.config import load
from tests.served import Served, serving


@pytest.fixture(scope="session")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with two echo models, echo/small and echo/large."""
    with serving(tmp_path_factory.mktemp("echo")) as served:
        yield served


def weights(model: str) -> Path:
    row = embedded()[model]
    path = lies(row.weights, load(environ=dict(os.environ)).cache)
    if not path.is_file():
        pytest.skip(f"the weights of {model} are not here; get them with: sizewise models pull {model}")
    return path


@pytest.fixture(scope="session")
def smollm_gguf() -> Path:
    return weights("smollm2-135m")


@pytest.fixture(scope="session")
def qwen_gguf() -> Path:
    return weights("qwen2.5-coder-1.5b")
