"""One server with traffic, one person and one browser for all tests of the studio."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.auth.user_client import Browser as Client
from tests.auth.user_client import new_user
from tests.running_server import Served, serving
from tests.studio import browser as driver
from tests.studio import traffic


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("studio")
    traffic.write_flow(home)
    with serving(home, traffic.SETTINGS) as served:
        traffic.fill(served)
        yield served


@pytest.fixture(scope="session")
def anna(server: Served) -> Client:
    return new_user(server, "anna@example.com", "owner")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    with driver.driven() as opened:
        yield opened
