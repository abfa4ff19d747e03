"""Publishing a flow by where it lies: its file, a version in the database, or a read-only folder that refuses it.

With [git]: test_git_publishing.py. Whichever it is, it feeds the first environment alone.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.terminal import sizewise
from tests.graphql.graphql_client import graphql
from tests.releases.test_environments import ENVIRONMENTS, FLOW, key_of, live, project, run
from tests.running_server import Answer, Served, serving, until

PUBLISH = "mutation($t: String!) { publishFlow(text: $t) { flow { version file } commit { branch } } }"
DIFF = "query($a: String!, $b: String!) { flowDiff(before: $a, after: $b) { unified } }"

pytestmark = pytest.mark.long


def ask(server: Served, key: str, flow: str = "answer") -> Answer:
    body = {"model": f"flow:{flow}", "messages": [{"role": "user", "content": "Hi"}]}
    return server.ask("/v1/chat/completions", body, key=key)


def test_a_file_and_a_version_in_the_database_feed_the_first_environment_alone(tmp_path: Path) -> None:
    home = project(tmp_path)
    with serving(home, ENVIRONMENTS) as server:
        until(lambda: live(home)["prod"])
        staging, prod, before = key_of(home, "staging"), key_of(home, "prod"), live(home)
        text = FLOW.replace("FLOW one", "FLOW two")
        made = graphql(server, PUBLISH, t=text)
        assert made.errors == [] and made.data["publishFlow"]["flow"]["file"] == "answer.yaml"
        assert (home / "flows" / "answer.yaml").read_text() == text
        added = graphql(server, PUBLISH, t=FLOW.replace("name: answer", "name: added"))
        assert added.data["publishFlow"] == {
            "flow": {"version": added.data["publishFlow"]["flow"]["version"], "file": None},
            "commit": None,
        }
        assert not (home / "flows" / "added.yaml").exists()
        assert "FLOW two" in str(ask(server, staging).json) and "FLOW one" in str(ask(server, prod).json)
        assert (ask(server, staging, "added").status, ask(server, prod, "added").status) == (200, 404)
        assert live(home) == before
        run(home, "release", "promote", "prod")
        assert "FLOW two" in str(ask(server, prod).json) and ask(server, prod, "added").status == 200


@contextmanager
def mounted(folder: Path) -> Iterator[None]:
    """A file system of its own, which can become read-only also for root."""
    folder.mkdir(parents=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(folder)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a file system")
def test_a_read_only_folder_refuses_it_with_the_difference_to_copy_and_nothing_changes(tmp_path: Path) -> None:
    flows = tmp_path / "flows"
    with mounted(flows):
        (flows / "answer.yaml").write_text(FLOW)
        subprocess.run(["mount", "-o", "remount,ro", str(flows)], check=True)
        home, text = tmp_path, FLOW.replace("FLOW one", "FLOW two")
        with serving(home, ENVIRONMENTS) as server:
            until(lambda: graphql(server, "{ flows { name } }").data["flows"])
            (error,) = graphql(server, PUBLISH, t=text).errors
            assert error["extensions"]["code"] == "conflict" and "cannot be written" in error["message"]
            assert "flowDiff" in error["extensions"]["hint"]
            unified = graphql(server, DIFF, a=FLOW, b=text).data["flowDiff"]["unified"]
            assert "FLOW two" in unified
            assert graphql(server, '{ flow(name: "answer") { text } }').data["flow"]["text"] == FLOW
            (tmp_path / "answer.yaml").write_text(text)
            by_cli = sizewise("flow", "publish", str(tmp_path / "answer.yaml"), home=home)
            assert by_cli.code == 2 and "cannot be written" in by_cli.err, by_cli.err
