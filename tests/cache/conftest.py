"""One patient upstream for the room, and one server in front of it, with the fast lane and without."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cache.slow_upstream import SlowUpstream, settings, slow_upstream
from tests.running_server import Served, serving


@pytest.fixture(scope="session")
def upstream() -> Iterator[SlowUpstream]:
    with slow_upstream() as up:
        yield up


@pytest.fixture(scope="session", params=["fast", "plain"])
def served(
    upstream: SlowUpstream,
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Served]:
    lane = f"fast_path = {str(request.param == 'fast').lower()}"
    with serving(tmp_path_factory.mktemp(request.param), settings(upstream.url, server=lane)) as server:
        yield server


@pytest.fixture
def up(upstream: SlowUpstream) -> SlowUpstream:
    """The upstream, as if nobody had asked it yet."""
    upstream.stay()
    upstream.received.bodies.clear()
    return upstream
