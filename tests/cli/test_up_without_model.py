"""`sizewise up` where there is no model yet: it downloads none by itself, says the command, and serves."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.terminal import sizewise
from tests.running_server import serving

QUIET = "[server]\ndiscover = false\n"


def test_nothing_is_downloaded_unless_it_is_asked_for(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    with serving(tmp_path / "home", QUIET, SIZEWISE_CACHE=str(cache)) as server:
        said = "".join(server.said)
        assert "starting without an embedded model" in said
        assert "(98 MB): sizewise models pull smollm2-135m, or sizewise up --pull" in said
        assert server.ask("/healthz", key=None).status == 200 and server.ask("/readyz", key=None).status == 503
    assert not [each for each in cache.rglob("*") if each.is_file() and each.stat().st_size > 1_000_000]


@pytest.mark.long
def test_a_download_without_an_index_is_told_and_the_start_goes_on(tmp_path: Path) -> None:
    """As behind a firewall: the index is a port where nobody listens."""
    environ = {"SIZEWISE_CACHE": str(tmp_path / "cache"), "PIP_INDEX_URL": "http://127.0.0.1:9/simple"}
    with serving(tmp_path / "home", QUIET, "--pull", **environ) as server:
        assert "starting without an embedded model" in "".join(server.said)
        assert server.ask("/healthz", key=None).status == 200
    assert "--pull" in sizewise("up", "--help").out
