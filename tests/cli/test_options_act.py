"""Options that had no effect in some mode of a command: each acts there now, or is refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest

from tests.cli.terminal import sizewise
from tests.option_reads import commands
from tests.running_server import Served
from tests.walls.test_command_options import ALL

REFUSED: tuple[tuple[tuple[str, ...], str], ...] = (
    (("models", "pull", "smollm2-135m", "--name", "mine"), "--name"),
    (("models", "pull", "smollm2-135m", "--sha256", "0" * 64), "--sha256"),
    (("models", "update", "--remove", "--signature", "x.sig"), "--signature"),
    (("models", "update", "--remove", "--older"), "--older"),
    (("advise", "--second", ".", "--small", "a", "--task", "code"), "--task"),
    (("advise", "--second", ".", "--small", "a", "--reasons", "--weight", "cost=2"), "--weight, --reasons"),
    (("route", "calibrate", ".", "--small", "a", "--large", "b", "--url", "http://x"), "--url"),
    (("route", "calibrate", "--price-ratio", "0.5", "--small", "a"), "--small, --price-ratio"),
    (("bias", "run", "prompts.jsonl", "--models", "a", "--dimension", "age"), "--dimension"),
    (("bias", "run", "prompts.jsonl", "--models", "a", "--fillings", "2"), "--fillings"),
    (("records", "abc", "--trace", "def"), "--trace"),
    (("records", "abc", "--last", "3"), "--last"),
    (("records", "abc", "--tag", "team=x"), "--tag"),
    (("records", "abc", "--kind", "user"), "--kind"),
    (("records", "--kind", "user"), "--kind"),
    (("records", "abc", "--feedback", "1", "--contents"), "--contents"),
    (("records", "--contents", "abc", "--since", "24h"), "--since"),
    (("records", "--erase", "k", "--model", "x", "--yes"), "--model"),
    (("records", "abc", "--erase", "k", "--yes"), "TRACE"),
    (("usage", "--compare", "--by", "model"), "--by"),
    (("usage", "--compare", "--step", "1h", "--first", "3"), "--step, --first"),
    (("audit", "verify", "log.jsonl", "--url", "http://x"), "--url"),
    (("audit", "--url", "http://x", "verify", "log.jsonl"), "--url"),
    (("release", "show", ".", "--url", "http://x"), "--url"),
    (("release", "diff", ".", ".", "--url", "http://x"), "--url"),
    (("import", "langfuse", "items.json", "--judge", "x"), "--judge"),
    (("route", "train", ".", "--small", "a", "--large", "b", "--home", "x"), "--home"),
    (("scan", "x", "--config", "x.toml"), "--config"),
    (("restore", "x.tar", "--config", "x.toml"), "--config"),
    (("flow", "schema", "--home", "x"), "--home"),
)
WITHOUT_SERVER = frozenset({"records", "usage"})
"""Commands of REFUSED that refuse before they look for a server."""


@pytest.mark.parametrize(("words", "named"), REFUSED, ids=[" ".join(words) for words, _ in REFUSED])
def test_an_option_that_would_have_no_effect_is_refused_by_name(
    words: tuple[str, ...], named: str, tmp_path: Path
) -> None:
    for file in ("items.json", "log.jsonl", "prompts.jsonl"):
        (tmp_path / file).write_text("")
    done = sizewise(*words, home=tmp_path)
    assert done.code == 2, done.out
    assert named in done.err and ("cannot be used" in done.err or "No such option" in done.err)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("annotate", "--skip", "unclear"), "--skip"),
        (("annotate", "q", "--add", "x", "--item", "1"), "--item"),
        (("annotate", "q", "--agreement", "--export", "x"), "--export"),
        (("annotate", "q", "--export", "x", "--comment", "y"), "--comment"),
        (("annotate", "q", "--score", "a=b"), "--score"),
    ],
)
def test_of_the_modes_of_annotate_each_takes_its_own_options(words: tuple[str, ...], named: str, echo: Served) -> None:
    done = sizewise(*words, home=echo.home)
    assert done.code == 2 and named in done.err


# ---- options before a verb


GROUPS = [(path, command) for path, command in ALL.items() if isinstance(command, click.Group)]


def test_a_value_before_a_verb_that_has_no_such_option_is_refused(tmp_path: Path) -> None:
    done = sizewise("models", "--all", "show", "gpt-4o", home=tmp_path)
    assert done.code == 2 and "--all is no option of `sizewise models show`" in done.err
    done = sizewise("models", "--url", "http://127.0.0.1:1", "pull", "smollm2-135m", home=tmp_path)
    assert done.code == 2 and "--url is no option of `sizewise models pull`" in done.err
    done = sizewise("route", "policy", "--home", str(tmp_path / "x"), "test", "--json", home=tmp_path)
    assert done.json["error"]["message"] == "there are no tests"


def test_a_shell_completes_a_word_behind_such_a_value() -> None:
    words = {"_SIZEWISE_COMPLETE": "bash_complete", "COMP_WORDS": "sizewise models --all show --js", "COMP_CWORD": "4"}
    done = sizewise(home=None, **words)
    assert done.out == "plain,--json\n" and done.err == ""


def test_a_value_before_a_verb_is_the_verbs_where_it_has_the_option(echo: Served, tmp_path: Path) -> None:
    assert sizewise("models", "--home", str(echo.home), "--json", "list", home=tmp_path).json["running"]
    assert sizewise("keys", "--json", "list", "--home", str(echo.home), home=tmp_path).json


# ---- options that act now


def test_a_dry_run_of_a_pull_from_the_catalog_downloads_nothing(tmp_path: Path) -> None:
    cache = {"SIZEWISE_CACHE": str(tmp_path / "cache")}
    done = sizewise("models", "pull", "smollm2-135m", "--dry-run", "--test", home=tmp_path, **cache)
    assert done.code == 0 and "it would be downloaded to" in done.out and "self-test: yes" in done.out
    told = sizewise("models", "pull", "smollm2-135m", "--dry-run", "--from", "x", "--json", home=tmp_path, **cache).json
    assert (told["name"], told["downloaded"], told["from"]) == ("local/smollm2-135m", False, "x")
    assert not (tmp_path / "cache").exists()


def test_the_log_that_is_written_to_a_file_is_summed_up(echo: Served, tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    told = sizewise("audit", "export", "-o", str(file), "--json", home=echo.home).json
    assert told == {"entries": len(file.read_text().splitlines()), "file": str(file)}
    assert "entries are in" in sizewise("audit", "export", "-o", str(file), home=echo.home).err


def test_an_export_of_a_flow_is_json_if_that_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "sizewise.toml").write_text("")
    assert sizewise("flow", "new", "support", home=tmp_path).code == 0
    printed = sizewise("flow", "export", "support", home=tmp_path)
    told = sizewise("flow", "export", "support", "--json", home=tmp_path)
    assert told.code == printed.code and list(told.json["files"].values()) == [printed.out]
    written = sizewise("flow", "export", "support", "--json", "--to", str(tmp_path / "out"), home=tmp_path).json
    assert [Path(path).is_file() for path in written["files"]] == [True]


def test_a_link_is_printed_and_no_browser_opened_for_scripts(echo: Served) -> None:
    told = sizewise("open", "--json", "--print", home=echo.home, BROWSER="false").json
    assert told["url"].startswith(echo.url)


def test_an_embedded_model_that_is_turned_off_is_not_pulled_and_that_is_said(tmp_path: Path) -> None:
    (tmp_path / "sizewise.toml").write_text("[server]\nembedded = false\n[server.tls]\ncert = 'x'\nkey = 'y'\n")
    assert "--pull downloads nothing" in sizewise("up", "--pull", "--port", "0", home=tmp_path).err


def test_the_plan_of_outcomes_says_its_limits(echo: Served, tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text('{"prompt": "1+1?", "reference": "2"}\n')
    words = ("route", "outcomes", str(tmp_path / "p.jsonl"), "--models", "echo/small,echo/large", "--limit", "1")
    assert "at most 1 of them, 3 at a time" in sizewise(*words, "--concurrency", "3", "--dry-run", home=echo.home).out


# ---- --json


def needs_nothing(command: click.Command) -> bool:
    return not any(each.required for each in command.params) and "as_json" in {each.name for each in command.params}


ALONE = frozenset({"up", "edge dev", "doctor"})
"""Commands that go on, or whose answer depends on this machine."""
LISTS = [path for path, command in ALL.items() if needs_nothing(command) and path not in ALONE]


@pytest.mark.long
@pytest.mark.parametrize("path", LISTS)
def test_with_json_a_command_that_needs_no_argument_prints_json_alone(path: str, echo: Served) -> None:
    done = sizewise(*path.split(), "--json", home=echo.home)
    lines = done.out.splitlines() if path in ("audit export", "records export") else [done.out]
    assert lines and all(json.loads(line) is not None for line in lines), done.err


def test_the_walk_finds_the_commands() -> None:
    assert len(LISTS) > 40 and len(GROUPS) > 20 and len(list(commands(ALL["models"]))) > 8
