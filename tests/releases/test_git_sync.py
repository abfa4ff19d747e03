"""Git sync against a real `git http-backend`: a commit becomes a release, a hostile one is refused."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sizewise.errors import ConfigError
from sizewise.settings.load import load_settings
from tests.auth.user_client import Browser
from tests.graphql.graphql_client import graphql
from tests.releases.git_server import TOKEN, GitServer, git_server
from tests.running_server import ECHO, Served, serving

FLOW = """name: answer
inputs: {question: text}
nodes:
  say: {kind: ask, model: echo/small, prompt: "{{ inputs.question }}"}
outputs: {answer: "{{ say.text }}"}
"""
FILES: dict[str, str | bytes | Path] = {"sizewise.toml": "", "flows/answer.yaml": FLOW}
SYNC = "mutation { syncGit { commit release error } }"
STATUS = "{ gitSync { branch commit release error } releases { hash createdBy } }"

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitServer]:
    with git_server(tmp_path_factory.mktemp("git")) as made:
        made.commit(FILES)
        yield made


@pytest.fixture(scope="module")
def served(repository: GitServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    git = f'\n[git]\nurl = "{repository.url}"\ntoken = "env:GIT_TOKEN"\npoll_s = 86400\nmax_mb = 1\n'
    with serving(tmp_path_factory.mktemp("home"), ECHO + git, GIT_TOKEN=TOKEN) as running:
        yield running
        assert TOKEN not in "".join(running.said) and "Traceback" not in "".join(running.said)
        held = [each for each in running.home.rglob("*") if each.is_file() and TOKEN.encode() in each.read_bytes()]
        assert (held, repository.seen) == ([], [])


def synced(served: Served) -> dict[str, Any]:
    answer = graphql(served, SYNC)
    assert answer.errors == [], answer.errors
    found: dict[str, Any] = answer.data["syncGit"]
    return found


def refused(served: Served) -> str:
    """The reason; the server answers afterwards, and says it in its status too."""
    (error,) = graphql(served, SYNC).errors
    status = graphql(served, STATUS).data["gitSync"]
    assert status["error"] == error["message"] and status["release"] is None
    assert served.chat("echo/small").status == 200
    message: str = error["message"]
    return message


def test_each_commit_becomes_a_release_that_is_not_live(served: Served, repository: GitServer) -> None:
    first = synced(served)
    commit = repository.commit({**FILES, "flows/answer.yaml": FLOW.replace("small", "large")})
    second = synced(served)
    assert second["commit"] == commit and second["release"] not in (None, first["release"])
    found = graphql(served, STATUS).data
    assert {"hash": second["release"], "createdBy": f"git:{commit[:12]}"} in found["releases"]
    assert graphql(served, "{ flows { name } }").data["flows"] == []


def test_a_commit_of_our_own_is_no_release(served: Served, repository: GitServer) -> None:
    commit = repository.push("publish answer\n\n[SIZEWISE-COMMIT]")
    assert synced(served) == {"commit": commit, "release": None, "error": None}


def test_a_mistake_is_named_with_its_file_and_line(served: Served, repository: GitServer) -> None:
    repository.commit({**FILES, "flows/answer.yaml": FLOW.replace("kind: ask", "kind: aks")})
    assert refused(served).startswith("flows/answer.yaml: line 4: ")


@pytest.mark.parametrize("target", ["/etc/passwd", "../../outside.yaml", "answer.yaml"])
def test_a_symbolic_link_is_refused(served: Served, repository: GitServer, target: str) -> None:
    repository.commit({**FILES, "flows/linked.yaml": Path(target)})
    assert "'flows/linked.yaml' is a symbolic link" in refused(served)


def test_a_submodule_is_refused_and_not_fetched(served: Served, repository: GitServer) -> None:
    modules = '[submodule "x"]\n\tpath = x\n\turl = ext::sh -c touch% /tmp/never\n'
    commit = repository.commit(FILES)
    (repository.work / ".gitmodules").write_text(modules.replace("ext::sh -c touch% /tmp/never", "./other.git"))
    repository.git(repository.work, "add", ".gitmodules")
    repository.git(repository.work, "update-index", "--add", "--cacheinfo", f"160000,{commit},x")
    repository.push()
    assert "'x' is a submodule" in refused(served)


def test_a_transport_that_runs_programs_is_refused_by_git_itself(served: Served, repository: GitServer) -> None:
    repository.commit({**FILES, ".gitmodules": '[submodule "x"]\n\tpath = x\n\turl = -ext::sh\n'})
    assert "git cannot fetch 'main'" in (said := refused(served)) and "gitmodules" in said


@pytest.mark.parametrize("content", ["random", "zeros"])
def test_a_large_blob_is_refused_as_sent_and_as_unpacked(served: Served, repository: GitServer, content: str) -> None:
    blob = os.urandom(3_000_000) if content == "random" else bytes(20_000_000)
    repository.commit({**FILES, "flows/big.bin": blob})
    assert "1 MB" in refused(served)
    repository.commit(FILES)
    assert synced(served)["release"]


def test_the_mirror_does_not_grow_with_each_commit(served: Served, repository: GitServer) -> None:
    for number in range(6):
        repository.commit({**FILES, f"data/{number}.bin": os.urandom(800_000)})
        assert synced(served)["release"]
    held = sum(each.stat().st_size for each in (served.home / "git").rglob("*") if each.is_file())
    assert held < 4_500_000


def test_no_hook_is_run(served: Served, repository: GitServer) -> None:
    marker, hooks = served.home / "ran", served.home / "git" / "mirror.git" / "hooks"
    hooks.mkdir(exist_ok=True)
    for name in ("post-checkout", "post-merge", "reference-transaction", "post-index-change"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch {marker}\n")
        (hooks / name).chmod(0o755)
    repository.commit({**FILES, "prompts/greet.md": "Hello.\n", ".gitattributes": "* filter=evil\n"})
    assert synced(served)["release"] and not marker.exists()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("sizewise.toml", '[policies.p]\nkind = "certified"\ncertificate = "/etc/passwd"\n'),
        ("sizewise.toml", '[policies.p]\nkind = "certified"\ncertificate = "../../admin.token"\n'),
        ("evals/x.yaml", "target: {model: echo/small}\ndata: ../../../admin.token\nscorers: {right: contains}\n"),
    ],
)
def test_a_commit_reads_no_file_of_the_machine(served: Served, repository: GitServer, name: str, text: str) -> None:
    repository.commit({**FILES, name: text})
    assert "the commit is refused: it names" in refused(served)


def test_what_looks_like_a_secret_is_refused_and_not_shown(served: Served, repository: GitServer) -> None:
    secret = "sk-ant-api03-" + "aB3dE5fG7hJ9" * 8
    repository.commit({**FILES, "flows/answer.yaml": FLOW.replace("{{ inputs.question }}", secret)})
    message = refused(served)
    assert "looks like a secret" in message and secret not in message


def test_another_organization_and_project_reads_nothing_of_it_and_is_refused(
    served: Served, repository: GitServer
) -> None:
    repository.commit(FILES)
    release = synced(served)["release"]
    found = 'mutation { createOrganization(id: "acme", email: "kim@acme.example") { token } }'
    kim = Browser(served)
    assert kim.accept(graphql(served, found).data["createOrganization"]["token"], "kim").status == 200
    create = """mutation { createKey(name: "shop", project: "shop", permissions: [read_releases, manage_releases]) {
      secret } }"""
    shop = graphql(served, create).data["createKey"]["secret"]
    commit = repository.commit({**FILES, "flows/answer.yaml": FLOW.replace("small", "large")})
    for query in (SYNC, f'mutation {{ syncGit(ref: "{commit}") {{ commit release }} }}'):
        for answer in (kim.graphql(query), graphql(served, query, key=shop)):
            assert answer.code == "not_found" and repository.url not in answer.message
    for answer in (kim.graphql(STATUS), graphql(served, STATUS, key=shop)):
        assert answer.data == {"gitSync": None, "releases": []}
    assert graphql(served, STATUS).data["gitSync"]["release"] == release, "nobody looked"


# ---- settings


@pytest.mark.parametrize(
    "line",
    [
        'url = "ext::sh -c id"',
        'url = "file:///srv/repo.git"',
        'url = "/srv/repo.git"',
        'url = "http://git.example.org/repo.git"',
        'url = "git://git.example.org/repo.git"',
        'url = "https://user:password@git.example.org/repo.git"',
        'url = "ssh://-oProxyCommand=id/repo"',
        'url = "ssh://git@git.example.org/-repo"',
        'url = "--upload-pack=id"',
        'branch = "--upload-pack=id"',
        'branch = "-main"',
        'branch = "a..b"',
        'path = "../outside"',
        'path = "/etc"',
        'token = "ghp_written_here"',
    ],
)
def test_settings_refuse_what_is_no_repository_branch_or_folder(tmp_path: Path, line: str) -> None:
    file = tmp_path / "sizewise.toml"
    file.write_text(f"[git]\n{line}\n")
    with pytest.raises(ConfigError, match=r"git\.(url|branch|path|token)"):
        load_settings(file, tmp_path, environ={})


@pytest.mark.parametrize("url", ["https://git.example.org/a/b.git", "ssh://git@git.example.org:2222/a/b"])
def test_settings_take_https_and_ssh(tmp_path: Path, url: str) -> None:
    file = tmp_path / "sizewise.toml"
    file.write_text(f'[git]\nurl = "{url}"\nbranch = "release/2026.11"\npath = "services/assistant"\n')
    assert load_settings(file, tmp_path, environ={}).git.url == url
