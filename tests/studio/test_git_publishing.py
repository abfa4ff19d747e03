"""Publishing from the studio where the settings have [git]: a commit and a pull request, seen in a real browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.auth.user_client import new_user
from tests.fakes.fake_pull_requests import pull_request_double
from tests.graphql.graphql_client import graphql
from tests.releases.git_server import TOKEN, git_server
from tests.releases.test_git_publishing import settings, shown
from tests.releases.test_git_sync import FILES, FLOW
from tests.running_server import serving, until
from tests.studio.browser import tab

pytestmark = pytest.mark.browser


def test_publish_it_makes_a_commit_and_shows_its_pull_request(browser: Any, tmp_path: Path) -> None:
    with git_server(tmp_path / "git") as repository, pull_request_double("gitea") as host:
        repository.commit(FILES)
        home = tmp_path / "home"
        (home / "flows").mkdir(parents=True)
        (home / "flows" / "answer.yaml").write_text(FLOW)
        with serving(home, settings(repository, host), GIT_TOKEN=TOKEN) as server:
            until(lambda: graphql(server, "{ flows { name } }").data["flows"])
            with tab(browser, server, new_user(server, "bea@example.com", "owner")) as opened:
                page = opened.page
                opened.open("/flows/answer")
                page.locator("[data-node=say]").click()
                page.get_by_role("tab", name="Node").click()
                page.get_by_label("prompt text").fill("Say it short: {{ inputs.question }}")
                page.get_by_label("prompt text").press("Tab")
                page.get_by_role("button", name="Publish …").click()
                page.get_by_text("It becomes a commit on a branch of yours").wait_for()
                page.get_by_role("button", name="Publish it").click()
                link = page.get_by_role("link", name="Open its pull request")
                link.wait_for()
                assert link.get_attribute("href") == "https://git.example/repo/1"
                opened.picture("flow-commit")
                assert opened.inaccessible() == []
                page.get_by_role("button", name="Close").click()
                assert opened.wrong() == []
            (branch,) = shown(repository, "for-each-ref", "--format=%(refname:short)", "refs/heads/sizewise").split()
            assert "Say it short" in shown(repository, "show", f"{branch}:flows/answer.yaml")
            assert (home / "flows" / "answer.yaml").read_text() == FLOW, "the folder is as it was"
            assert shown(repository, "log", "-1", "--format=%an %cn", branch).endswith("Sizewise")
