"""`sizewise edge deploy`, `status`, `rollback` and `key`, in front of a double of Cloudflare's API with its errors."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from tests.fakes.fake_workers_api import TOKEN, FakeAccount, fake_account
from tests.graphql.graphql_client import fresh_key, graphql
from tests.running_server import KEY, environment, serving

ROOT = Path(__file__).parents[2]
SETTINGS = """
[server]
discover = false
embedded = false
[providers.up]
base_url = "https://api.example.com/v1"
models = [{models}]
[edge]
account = "0123456789abcdef0123456789abcdef"
keys = "fedcba9876543210fedcba9876543210"
token = "env:EDGE_TOKEN"
api = "{url}/client/v4"
url = "{url}"
"""


@pytest.fixture
def account() -> Iterator[FakeAccount]:
    with fake_account() as made:
        yield made


def edge(
    folder: Path, account: FakeAccount, *words: str, models: str = '"one"', token: str = TOKEN, origin: str = ""
) -> subprocess.CompletedProcess[str]:
    home = f'origin = "{origin}"\n' if origin else ""
    (folder / "sizewise.toml").write_text(SETTINGS.format(url=account.url, models=models) + home)
    argv = [sys.executable, "-m", "sizewise.cli.main", "edge", *words, "--home", str(folder / "home"), "--json"]
    env = environment(PYTHONPATH=str(ROOT), EDGE_TOKEN=token)
    return subprocess.run(argv, cwd=folder, env=env, capture_output=True, text=True, timeout=60)


@pytest.mark.long
def test_a_release_is_uploaded_checked_and_rolled_back(tmp_path: Path, account: FakeAccount) -> None:
    first = json.loads(edge(tmp_path, account, "deploy").stdout)
    second = json.loads(edge(tmp_path, account, "deploy", models='"one", "two"').stdout)
    assert (second["version"], first["build"] != second["build"]) == ("v2", True)
    assert b'name="runtime.mjs"' in account.versions[1] and b'"main_module"' in account.versions[1]
    live = json.loads(edge(tmp_path, account, "status").stdout)["deployments"]
    assert [each["version"] for each in live] == ["v2", "v1"]
    assert live[0]["build"] == second["build"]
    assert json.loads(edge(tmp_path, account, "rollback").stdout)["version"] == "v1"
    assert json.loads(edge(tmp_path, account, "status").stdout)["deployments"][0]["version"] == "v1"


@pytest.mark.long
def test_a_version_that_does_not_answer_is_taken_back(tmp_path: Path, account: FakeAccount) -> None:
    assert edge(tmp_path, account, "deploy").returncode == 0
    account.health = "another"
    done = edge(tmp_path, account, "deploy", models='"one", "two"')
    assert (done.returncode, "version v1 is live again" in done.stdout + done.stderr) == (3, True)
    assert account.deployments[0]["versions"][0]["version_id"] == "v1"


@pytest.mark.long
@pytest.mark.parametrize(
    ("part", "status", "code", "exit_code", "words"),
    [
        ("versions", 413, 10027, 2, "too large"),
        ("versions", 500, 10001, 3, "what was live stays live"),
        ("deployments", 500, 10001, 3, "nothing was changed"),
    ],
)
def test_an_error_of_the_api_says_what_is_live(
    tmp_path: Path, account: FakeAccount, part: str, status: int, code: int, exit_code: int, words: str
) -> None:
    assert edge(tmp_path, account, "deploy").returncode == 0
    account.fails[part] = (status, code)
    done = edge(tmp_path, account, "deploy")
    assert (done.returncode, words in done.stdout + done.stderr) == (exit_code, True)


def test_an_expired_token_is_named_and_never_shown(tmp_path: Path, account: FakeAccount) -> None:
    done = edge(tmp_path, account, "deploy", token="an-old-token")
    assert (done.returncode, "expired" in done.stdout + done.stderr, "an-old-token" in done.stdout + done.stderr) == (
        2,
        True,
        False,
    )
    assert account.versions == []


def test_a_key_goes_to_kv_by_its_digest_alone(tmp_path: Path, account: FakeAccount) -> None:
    made = json.loads(edge(tmp_path, account, "key", "app").stdout)
    stored = account.values[sha256(made["key"].encode()).hexdigest()]
    assert (json.loads(stored)["id"], made["key"] in stored) == ("app", False)


@pytest.mark.long
def test_keys_of_the_gateway_go_to_kv_and_revoked_ones_out_of_it(tmp_path: Path, account: FakeAccount) -> None:
    with serving(tmp_path / "home") as server:
        own = sha256(b"of the edge alone").hexdigest()
        account.values[own] = "{}"
        made = json.loads(edge(tmp_path, account, "key", "app", origin=server.url).stdout)
        value = json.loads(account.values[made["digest"]])
        assert (value["id"], value["permissions"], value["tenant"]) == (made["id"], ["ask"], "local")
        assert server.ask("/v1/models", key=made["key"]).status == 200, "it is a key of the gateway"
        assert sha256(KEY.encode()).hexdigest() in account.values
        fresh_key(server, "read_records")
        told = json.loads(edge(tmp_path, account, "deploy", origin=server.url).stdout)["keys"]
        assert (told["written"], told["removed"]) == (0, 0)
        assert [each.partition(" ")[2] for each in told["left_out"]] == ["(it may not ask)"]
        graphql(server, "mutation($id: String!) { revokeKey(id: $id) { id } }", id=made["id"])
        done = edge(tmp_path, account, "keys", origin=server.url)
        assert json.loads(done.stdout)["removed"] == 1
        assert made["digest"] not in account.values
        assert own in account.values


def test_without_a_running_gateway_a_deploy_says_that_no_key_was_written(tmp_path: Path, account: FakeAccount) -> None:
    done = edge(tmp_path, account, "deploy", origin="https://home.example.com")
    assert (done.returncode, json.loads(done.stdout)["keys"]) == (0, None)


@pytest.mark.long
def test_a_diff_names_what_a_deploy_would_change(tmp_path: Path, account: FakeAccount) -> None:
    assert json.loads(edge(tmp_path, account, "diff").stdout)["live"] is None
    assert edge(tmp_path, account, "deploy").returncode == 0
    same = json.loads(edge(tmp_path, account, "diff").stdout)
    assert (same["changes"], same["live"]) == ([], same["build"])
    told = json.loads(edge(tmp_path, account, "diff", models='"two"', origin="https://home.example.com").stdout)
    changes = {each["what"]: each["change"] for each in told["changes"]}
    assert (changes["model up/one"], changes["model up/two"], changes["origin"]) == ("removed", "added", "changed")
