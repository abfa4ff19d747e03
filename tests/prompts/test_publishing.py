"""Publishing a prompt to the folder: live at once, only over what its publisher saw, for the first environment alone.

With [git]: tests/releases/test_git_publishing.py.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.cli.terminal import sizewise
from tests.graphql.graphql_client import graphql
from tests.releases.test_environments import ENVIRONMENTS, greet, key_of, live, project, run
from tests.releases.test_publishing import mounted
from tests.running_server import ECHO, serving, until

PUBLISH = """mutation($id: String!, $t: String!, $v: String) { publishPrompt(id: $id, text: $t, expectedVersion: $v) {
  new prompt { id version } commit { branch } } }"""
GREET = "---\nrole: user\n---\nPROMPT two\n"


@pytest.mark.long
def test_a_published_prompt_is_live_at_once_and_replaces_only_what_its_publisher_saw(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    file = tmp_path / "work" / "greet.md"
    home = tmp_path / "home"
    home.mkdir()
    with serving(home, f"{ECHO}[projects.other]\n") as server:

        def refused(text: str, expected: str | None = None, id: str = "greet", key: str = "") -> dict[str, Any]:
            asked: dict[str, Any] = {"id": id, "t": text, "v": expected, **({"key": key} if key else {})}
            (error,) = graphql(server, PUBLISH, **asked).errors
            return error

        file.write_text("---\nrole: user\n---\nPROMPT one\n")
        first = sizewise("prompt", "publish", str(file), "--replaces", "", "--json", home=home)
        assert first.code == 0 and first.json["new"], first.err
        assert "PROMPT one" in str(greet(server, server.key).json)
        file.write_text(GREET)
        second = sizewise("prompt", "publish", str(file), "--replaces", first.json["prompt"]["version"], home=home)
        assert second.code == 0 and second.out.startswith("prompt greet@") and "is live" in second.out
        assert (home / "prompts" / "greet.md").read_text() == GREET
        assert "PROMPT two" in str(greet(server, server.key).json)
        assert "(unchanged)" in sizewise("prompt", "publish", str(file), home=home).out
        error = refused("PROMPT three", first.json["prompt"]["version"])
        assert error["extensions"]["code"] == "conflict" and "'greet' of the folder was changed" in error["message"]
        assert "was changed meanwhile" in refused("PROMPT three", "")["message"]
        assert "line 2: " in refused("Hello\n{{ what")["message"]
        assert "is not a prompt's id" in refused("Hello", id="../greet")["message"]
        assert (home / "prompts" / "greet.md").read_text() == GREET
        actions = [each["action"] for each in graphql(server, "{ audit(last: 50) { action } }").data["audit"]]
        assert actions.count("prompt.publish") == 2, "once for each change"
        made = 'mutation { createKey(name: "o", permissions: [%s], project: "%s") { secret } }'
        for permission, where, why in (("ask", "default", "permission"), ("manage_flows", "other", "your project")):
            key = str(graphql(server, made % (permission, where)).data["createKey"]["secret"])
            assert why in refused("Hello", key=key)["message"]
        wrong = tmp_path / "work" / "wrong.md"
        wrong.write_text("{{ what")
        by_cli = sizewise("prompt", "publish", str(wrong), home=home)
        assert by_cli.code == 2 and "line 1" in by_cli.err
        assert "there is no prompt 'absent'" in sizewise("prompt", "publish", "absent", home=home).err


@pytest.mark.long
def test_with_environments_a_published_prompt_feeds_the_first_alone(tmp_path: Path) -> None:
    home = project(tmp_path)
    with serving(home, ENVIRONMENTS) as server:
        until(lambda: live(home)["prod"])
        staging, prod, before = key_of(home, "staging"), key_of(home, "prod"), live(home)
        assert graphql(server, PUBLISH, id="greet", t=GREET).errors == []
        assert "PROMPT two" in str(greet(server, staging).json) and "PROMPT one" in str(greet(server, prod).json)
        assert live(home) == before
        run(home, "release", "promote", "prod")
        assert "PROMPT two" in str(greet(server, prod).json)


@pytest.mark.long
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a file system")
def test_a_read_only_folder_refuses_it_and_nothing_changes(tmp_path: Path) -> None:
    with mounted(tmp_path / "prompts"):
        (tmp_path / "prompts" / "greet.md").write_text(GREET.replace("two", "one"))
        subprocess.run(["mount", "-o", "remount,ro", str(tmp_path / "prompts")], check=True)
        with serving(tmp_path, ECHO) as server:
            (error,) = graphql(server, PUBLISH, id="greet", t=GREET).errors
            assert error["extensions"]["code"] == "conflict" and "cannot be written" in error["message"]
            assert "PROMPT one" in str(greet(server, server.key).json)
