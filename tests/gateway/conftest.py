"""One bad upstream and two servers for the whole room: with the fast lane and without. What one does, both do."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sizewise.testing.faults import FaultyUpstream
from sizewise.testing.upstream import FakeOpenAI
from tests.gateway import fault_matrix
from tests.gateway.server_harness import SECRET, beside, misbehaving, settings
from tests.running_server import Served, serving


@pytest.fixture(scope="session")
def upstream() -> Iterator[FakeOpenAI]:
    with misbehaving() as up:
        yield up


@pytest.fixture(scope="session")
def fast(upstream: FakeOpenAI, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("fast"), settings(upstream.url), UPSTREAM_KEY=SECRET) as served:
        yield served


@pytest.fixture(scope="session")
def plain(upstream: FakeOpenAI, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    config = settings(upstream.url, fast=False)
    with serving(tmp_path_factory.mktemp("plain"), config, UPSTREAM_KEY=SECRET) as served:
        yield served


@pytest.fixture(scope="session")
def faulty() -> Iterator[FaultyUpstream]:
    with beside(FaultyUpstream) as up:
        yield up


@pytest.fixture(scope="session")
def lanes(
    faulty: FaultyUpstream,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[fault_matrix.Lane, Served]]:
    """Servers for the fault matrix, with the fast lane and without."""
    with (
        serving(
            tmp_path_factory.mktemp("fast"),
            fault_matrix.settings(faulty.url, "fast"),
            UPSTREAM_KEY=SECRET,
        ) as fast,
        serving(
            tmp_path_factory.mktemp("plain"),
            fault_matrix.settings(faulty.url, "plain"),
            UPSTREAM_KEY=SECRET,
        ) as plain,
    ):
        yield {"fast": fast, "plain": plain}


@pytest.fixture(params=["fast", "plain"])
def server(request: pytest.FixtureRequest) -> Iterator[Served]:
    """Both servers in turn; each must be alive, and have shown no traceback and no secret, after every test."""
    served: Served = request.getfixturevalue(request.param)
    already = len(served.said)
    yield served
    assert served.ask("/healthz", key=None).status == 200
    said = "".join(served.said[already:])
    assert "Traceback" not in said and "unforeseen" not in said, said
    assert SECRET not in said and served.key not in said
