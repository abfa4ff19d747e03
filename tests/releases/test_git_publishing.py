"""With [git], publishing a flow is a commit on a branch of one's own and a pull request; nothing is live by it.

The repository is a real `git http-backend`; the pull-request APIs are a double.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.terminal import sizewise
from tests.fakes.fake_pull_requests import PullRequestDouble, pull_request_double
from tests.graphql.graphql_client import graphql
from tests.releases.git_server import TOKEN, GitServer, git_server
from tests.releases.test_environments import live, run
from tests.releases.test_git_sync import FILES, FLOW
from tests.running_server import ECHO, Served, serving, until

PUBLISH = """mutation($t: String!, $v: String, $n: String) { publishFlow(text: $t, expectedVersion: $v, note: $n) {
  flow { version } new commit { repository branch commit pullRequest problem } } }"""

pytestmark = pytest.mark.long


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[GitServer]:
    with git_server(tmp_path / "git") as made:
        made.commit(FILES)
        yield made
        assert made.seen == [], "no command line has the token"


@pytest.fixture(params=["github", "gitea", "gitlab"])
def host(request: pytest.FixtureRequest) -> Iterator[PullRequestDouble]:
    with pull_request_double(request.param) as made:
        yield made


@pytest.fixture
def github() -> Iterator[PullRequestDouble]:
    with pull_request_double("github") as made:
        yield made


def settings(repository: GitServer, host: PullRequestDouble | None = None, more: str = "") -> str:
    pulls = "" if host is None else f'host = "{host.kind}"\napi = "{host.url}"\n'
    return f'{ECHO}\n[git]\nurl = "{repository.url}"\ntoken = "env:GIT_TOKEN"\npoll_s = 86400\n{pulls}{more}'


def publish(server: Served, text: str, expected: str | None = None, note: str = "") -> dict[str, Any]:
    answer = graphql(server, PUBLISH, t=text, v=expected, n=note)
    assert answer.errors == [], answer.errors
    made: dict[str, Any] = answer.data["publishFlow"]
    assert made["flow"] is None
    commit: dict[str, Any] = made["commit"]
    return commit


def refused(server: Served, text: str, expected: str | None = None) -> str:
    (error,) = graphql(server, PUBLISH, t=text, v=expected).errors
    message: str = error["message"]
    return message


def shown(repository: GitServer, *words: str) -> str:
    return repository.git(repository.folder / "repo.git", *words)


def test_a_flow_becomes_a_commit_on_a_branch_of_ones_own_and_one_pull_request(
    tmp_path: Path, repository: GitServer, host: PullRequestDouble
) -> None:
    main = shown(repository, "rev-parse", "main")
    with serving(tmp_path / "home", settings(repository, host), GIT_TOKEN=TOKEN) as server:
        text = FLOW.replace("small", "large")
        first = publish(server, text, note="for the hard ones")
        assert first["branch"].startswith("sizewise/") and first["branch"].endswith("/answer")
        assert first["pullRequest"] == "https://git.example/repo/1" and first["problem"] is None
        assert shown(repository, "rev-parse", first["branch"]) == first["commit"]
        assert shown(repository, "show", f"{first['commit']}:flows/answer.yaml") == text.strip()
        assert shown(repository, "diff", "--name-only", "main", first["commit"]) == "flows/answer.yaml"
        assert "for the hard ones" in shown(repository, "log", "-1", "--format=%B", first["commit"])
        again = publish(server, text)
        assert again["commit"] == first["commit"], "the same text is no second commit"
        second = publish(server, text.replace("question }}", "question }} please"))
        assert second["branch"] == first["branch"] and second["pullRequest"] == first["pullRequest"]
        assert shown(repository, "rev-list", "--count", f"main..{second['branch']}") == "2"
        entries = graphql(server, "{ audit(last: 20) { action } }").data["audit"]
        assert sum(each["action"] == "flow.commit" for each in entries) == 2, "one for each commit"
        assert len(host.opened) == 1 and set(host.seen) == {
            f"token {TOKEN}" if host.kind == "gitea" else f"Bearer {TOKEN}"
        }
        assert shown(repository, "rev-parse", "main") == main, "the followed branch is never written to"
        assert graphql(server, "{ flows { name } }").data["flows"] == [], "nothing is live"
        assert TOKEN not in "".join(server.said) and "Traceback" not in "".join(server.said)


def test_what_somebody_else_changed_is_a_conflict_and_after_a_merge_the_branch_begins_anew(
    tmp_path: Path, repository: GitServer, github: PullRequestDouble
) -> None:
    with serving(tmp_path / "home", settings(repository, github), GIT_TOKEN=TOKEN) as server:
        text = FLOW.replace("small", "large")
        assert "is not published" not in refused(server, text, "")  # it is there already
        begun = publish(server, text)
        merged = repository.commit({**FILES, "flows/answer.yaml": text}, message="Merge")
        after = publish(server, text.replace("question }}", "question }} please"))
        assert after["branch"] == begun["branch"]
        assert shown(repository, "rev-parse", f"{after['branch']}~1") == merged
        repository.commit({**FILES, "flows/answer.yaml": FLOW.replace("say", "tell")})
        assert "changed meanwhile" in refused(server, FLOW, "0" * 64)
        other = publish(server, FLOW.replace("name: answer", "name: another"))
        assert shown(repository, "show", f"{other['commit']}:flows/another.yaml").startswith("name: another")
        assert shown(repository, "rev-parse", f"{other['commit']}~1") == shown(repository, "rev-parse", "main")


def test_a_push_that_is_refused_publishes_nothing_and_a_pull_request_that_is_refused_keeps_the_commit(
    tmp_path: Path, repository: GitServer, github: PullRequestDouble
) -> None:
    with serving(tmp_path / "home", settings(repository, github), GIT_TOKEN=TOKEN) as server:
        github.refuses = 403
        made = publish(server, FLOW.replace("small", "large"))
        assert made["pullRequest"] is None and "status 403" in made["problem"]
        assert shown(repository, "rev-parse", made["branch"]) == made["commit"]
        (tmp_path / "answer.yaml").write_text(FLOW.replace("small", "large"))
        by_cli = sizewise("flow", "publish", str(tmp_path / "answer.yaml"), home=server.home)
        assert by_cli.code == 0 and made["branch"] in by_cli.out and "nothing is live" in by_cli.out, by_cli.err
        assert "no pull request" in by_cli.err
        repository.read_only = True
        assert "git cannot push" in refused(server, FLOW.replace("small", "echo"))
        assert server.chat("echo/small").status == 200


def test_a_prompt_becomes_a_commit_beside_the_flow_of_the_same_name(
    tmp_path: Path, repository: GitServer, github: PullRequestDouble
) -> None:
    with serving(tmp_path / "home", settings(repository, github), GIT_TOKEN=TOKEN) as server:
        flow = publish(server, FLOW.replace("small", "large"))
        (tmp_path / "answer.md").write_text("Answer shortly: {{ question }}\n")
        by_cli = sizewise("prompt", "publish", str(tmp_path / "answer.md"), "--note", "shorter", home=server.home)
        assert by_cli.code == 0 and "nothing is live" in by_cli.out and "Pull request: " in by_cli.out, by_cli.err
        branch = f"{flow['branch']}.md"
        assert shown(repository, "diff", "--name-only", "main", branch) == "prompts/answer.md"
        assert shown(repository, "show", f"{branch}:prompts/answer.md") == "Answer shortly: {{ question }}"
        assert "shorter" in shown(repository, "log", "-1", "--format=%B", branch)
        assert not (server.home / "prompts").exists(), "nothing is live"
        again = sizewise("prompt", "publish", str(tmp_path / "answer.md"), "--replaces", "f" * 64, home=server.home)
        assert again.code == 2 and "was changed meanwhile" in again.err


def test_a_flow_is_withdrawn_by_a_commit_that_removes_its_file(
    tmp_path: Path, repository: GitServer, github: PullRequestDouble
) -> None:
    with serving(tmp_path / "home", settings(repository, github), GIT_TOKEN=TOKEN) as server:
        by_cli = sizewise("flow", "withdraw", "answer", "--json", home=server.home)
        made = by_cli.json["commit"]
        assert by_cli.json["withdrawn"] is None and made["pullRequest"] == "https://git.example/repo/1", by_cli.err
        assert shown(repository, "diff", "--name-status", "main", made["commit"]) == "D\tflows/answer.yaml"
        assert "Withdraw the flow answer" in shown(repository, "log", "-1", "--format=%B", made["commit"])
        assert sizewise("flow", "withdraw", "answer", "--json", home=server.home).json["commit"] == made
        absent = sizewise("flow", "withdraw", "absent", home=server.home)
        assert absent.code != 0 and "absent" in absent.err


@pytest.mark.parametrize("target", ["/etc/passwd", "elsewhere.yaml"])
def test_a_link_in_the_repository_is_not_written_through(tmp_path: Path, repository: GitServer, target: str) -> None:
    repository.commit({"flows/answer.yaml": Path(target)})
    with serving(tmp_path / "home", settings(repository), GIT_TOKEN=TOKEN) as server:
        assert "is no regular file" in refused(server, FLOW)
        repository.commit({"flows": Path(target)})
        assert refused(server, FLOW)
        assert shown(repository, "branch", "--list", "sizewise/*") == ""


def test_no_hook_runs_and_no_filter_of_the_repository(tmp_path: Path, repository: GitServer) -> None:
    repository.commit({**FILES, ".gitattributes": "* filter=evil ident\n"})
    with serving(tmp_path / "home", settings(repository), GIT_TOKEN=TOKEN) as server:
        publish(server, FLOW.replace("small", "large"))
        hooks = server.home / "git" / "mirror.git" / "hooks"
        hooks.mkdir(exist_ok=True)
        for name in ("pre-push", "reference-transaction", "post-commit"):
            (hooks / name).write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
            os.chmod(hooks / name, 0o755)
        made = publish(server, FLOW.replace("question }}", "question }} $Id$"))
        assert "$Id$" in shown(repository, "show", f"{made['commit']}:flows/answer.yaml")
        assert not (tmp_path / "ran").exists()


def test_with_environments_a_commit_changes_none_until_it_is_merged_and_applied(
    tmp_path: Path, repository: GitServer
) -> None:
    more = '[environments.staging]\nfrom = "any"\n[environments.prod]\n'
    home = tmp_path / "home"
    with serving(home, settings(repository, more=more), GIT_TOKEN=TOKEN) as server:
        until(lambda: live(home)["prod"])
        before = live(home)
        made = publish(server, FLOW.replace("small", "large"))
        assert run(home, "release", "sync")["plans"] and live(home) == before
        shown(repository, "update-ref", "refs/heads/main", made["commit"])  # merged
        synced = run(home, "release", "sync")
        assert synced["commit"] == made["commit"] and live(home) == before
        (plan,) = synced["plans"]
        assert run(home, "release", "apply", plan, "--breaking")["name"] == "staging"
        now = live(home)
        assert now["staging"] == synced["release"] and now["prod"] == before["prod"], "the first environment alone"
