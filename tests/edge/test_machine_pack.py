"""`sizewise edge pack` and `join`: from an archive in an empty home to a machine that takes releases of a gateway."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest

from tests.archives import unpack
from tests.cli.terminal import sizewise
from tests.edge.running_worker import free_port
from tests.edge.test_machine_releases import EVAL, GATEWAY, live, publish, release_key, state
from tests.examples.test_service import require_sandboxed
from tests.graphql.graphql_client import fresh_key
from tests.releases.test_environments import PROMPT, greet, project, run, text
from tests.running_server import KEY, serving, until

SERVER = "[server]\nembedded = false\ndiscover = false\n"
SECRETS = """
[limits."key:app"]
requests_per_minute = 5
[otlp]
endpoint = "https://desk.example.com"
"""


def packed_project(home: Path, settings: str = GATEWAY) -> Path:
    project(home, settings)
    (home / "prompts" / "greet.md").write_text(PROMPT.replace("PROMPT one", "[[say Paris]] one"))
    runs = home / "evals" / ".runs"
    runs.mkdir(parents=True)
    (runs / "old.jsonl").write_text("an answer of a customer")
    (home / "evals" / "city.yaml").write_text(EVAL)
    items = [{"id": f"i{number}", "input": f"question {number}", "expected": "Paris"} for number in range(40)]
    (home / "evals" / "city.jsonl").write_text("".join(f"{json.dumps(each)}\n" for each in items))
    return home


def unpacked(archive: Path, folder: Path) -> Path:
    """The home of a machine."""
    with tarfile.open(archive) as opened:
        unpack(opened, folder)
    return folder / "sizewise-edge" / "home"


def test_the_archive_has_what_answers_and_nothing_of_the_server(tmp_path: Path) -> None:
    home = packed_project(tmp_path / "project", GATEWAY + SECRETS)
    made = sizewise("edge", "pack", "--gate", "city", "--out", "till.tar.gz", home=home)
    assert made.code == 0 and "will take no releases by itself" in made.out, made.err
    machine = unpacked(home / "till.tar.gz", tmp_path)
    files = {str(path.relative_to(machine)) for path in machine.rglob("*") if path.is_file()}
    assert files == {"sizewise.toml", "flows/answer.yaml", "prompts/greet.md", "evals/city.yaml", "evals/city.jsonl"}
    settings = (machine / "sizewise.toml").read_text()
    assert "[providers.echo]" in settings and 'from = "any"\ngate = ["city"]' in settings
    assert "[local]" in settings and "context = 4096" in settings and "[alerts.errors]" in settings
    assert not any(word in settings for word in ("[server]", "[limits", "desk.example.com"))
    readme = (machine.parent / "README.txt").read_text()
    assert "sizewise[local,flows,learn]==" in readme and "SIZEWISE_HOME=$PWD/home" in readme
    assert run(machine, "release", "build", "--dry-run") == run(home, "release", "build", "--dry-run")


def test_an_empty_folder_is_packed_with_a_line_for_each_gap_and_its_next_step(tmp_path: Path) -> None:
    tmp_path.joinpath("sizewise.toml").touch()
    made = sizewise("edge", "pack", home=tmp_path)
    assert made.code == 0, made.err
    for said in (
        "no model: the machine can answer nothing; add --model NAME",
        "no flow and no prompt",
        "sizewise flow new NAME",
        "sizewise eval new NAME",
        "pip download -d FOLDER 'sizewise[local,flows,learn]==",
        "give --origin URL",
        "will take no releases by itself",
    ):
        assert said in made.out


def test_a_machine_keeps_the_memory_that_its_project_chose(tmp_path: Path) -> None:
    home = packed_project(tmp_path / "project", GATEWAY + "\n[local]\nslots = 3\n")
    assert sizewise("edge", "pack", "--out", "till.tar.gz", home=home).code == 0
    settings = (unpacked(home / "till.tar.gz", tmp_path) / "sizewise.toml").read_text()
    assert settings.count("[local]") == 1 and "slots = 3" in settings


def test_systemd_accepts_its_unit_and_it_is_sandboxed(tmp_path: Path) -> None:
    home = packed_project(tmp_path / "project")
    assert sizewise("edge", "pack", "--out", "till.tar.gz", home=home).code == 0
    require_sandboxed(unpacked(home / "till.tar.gz", tmp_path).parent / "sizewise-edge.service")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--gate", "none"), "there is no eval 'none'"),
        (("--model", "none"), "there is no local model 'none'"),
        (("--out", "missing/till.tar.gz"), "the archive cannot be written"),
    ],
)
def test_what_cannot_be_packed_is_refused(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    refused = sizewise("edge", "pack", *words, home=packed_project(tmp_path))
    assert refused.code != 0 and said in refused.err and not list(tmp_path.glob("*.tar.gz*"))


def test_a_machine_that_knows_no_gateway_says_what_it_needs(tmp_path: Path) -> None:
    origin = f"http://127.0.0.1:{free_port()}"
    for words, stdin, said in (
        (("till",), "sk-x\n", "the URL of the gateway is not known"),
        (("till", "--origin", "shop"), "sk-x\n", "--origin: is not a URL"),
        (("a till", "--origin", origin), "sk-x\n", "is no name of a machine"),
        (("till", "--origin", origin), "", "there is no key on stdin"),
        (("till", "--origin", origin), "sk-x\n", "did not respond"),
    ):
        refused = sizewise("edge", "join", *words, home=tmp_path, stdin=stdin)
        assert refused.code != 0 and said in refused.err, (words, refused.err)
    assert not list(tmp_path.glob("edge.key")) and not list(tmp_path.glob("sizewise.toml"))


@pytest.mark.long
def test_from_an_archive_to_a_machine_that_reports_and_takes_releases(tmp_path: Path) -> None:
    home = packed_project(tmp_path / "gateway")
    with serving(home, GATEWAY) as gateway:
        key = fresh_key(gateway, "serve_edge")
        release_key(gateway, key)  # once the first release is live
        made = run(home, "edge", "pack", "--gate", "city", "--origin", gateway.url, "--out", "till.tar.gz")
        machine = unpacked(home / "till.tar.gz", tmp_path / "till")
        settings = machine / "sizewise.toml"
        with serving(machine, SERVER + settings.read_text()) as till:  # no gateway is known to it
            assert text(greet(till, KEY)) == "Paris"
            until(lambda: live(till) == live(gateway) == made["release"])

        too_much = sizewise(
            "edge", "join", "till-1", home=machine, stdin=f"{fresh_key(gateway, 'serve_edge', 'ask')}\n"
        )
        assert too_much.code == 2 and "may do more than an edge needs" in too_much.err
        joined = sizewise("edge", "join", "till-1", home=machine, stdin=f"{key}\n")
        assert joined.code == 0 and f"till-1 reports to {gateway.url}" in joined.out, joined.err
        assert 'release_environment = "prod"' in settings.read_text()
        assert (machine / "edge.key").stat().st_mode & 0o777 == 0o600
        assert (machine / "edge.key").read_text().strip() not in settings.read_text()
        again = sizewise("edge", "join", "till-2", home=machine, stdin=f"{key}\n")
        assert again.code == 2 and "the gateway refused" in again.err

        with serving(machine, settings.read_text()) as till:
            assert till.chat("echo/small").status == 200
            until(lambda: state(gateway).get("name") == "till-1" and state(gateway)["release"] == made["release"])
            good = publish(home, "[[say Paris]] two")
            until(lambda: live(till) == good)


def test_a_damaged_archive_does_not_join(tmp_path: Path) -> None:
    home = packed_project(tmp_path / "project")
    assert sizewise("edge", "pack", "--out", "till.tar.gz", home=home).code == 0
    machine = unpacked(home / "till.tar.gz", tmp_path)
    (machine.parent / "README.txt").write_text("other words")
    refused = sizewise("edge", "join", "till", "--origin", "http://127.0.0.1:9", home=machine, stdin="sk-x\n")
    assert refused.code == 2 and "other bytes than were packed: README.txt" in refused.err
