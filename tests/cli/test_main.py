"""The command line as a whole: help that fits a screen, errors of two lines, exit codes, colours, pipes and Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from sizewise.cli.lazy_group import RENAMED, RENAMED_OPTIONS, LazyGroup
from sizewise.cli.main import COMMANDS, SUBJECTS
from sizewise.cli.main import sizewise as root
from tests.cli.terminal import sizewise, watched
from tests.forked import PYTHONPATH, command, start
from tests.running_server import Served, environment, until

ESCAPE = "\x1b["


def verbs(verb: click.Command = root, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, verb
    if isinstance(verb, click.Group):
        for name in verb.list_commands(click.Context(verb)):
            under = verb.get_command(click.Context(verb), name)
            assert under is not None
            yield from verbs(under, (*path, name))


ALL = dict(verbs())


def test_the_help_fits_one_screen() -> None:
    shown = sizewise("--help").out.splitlines()
    assert len(shown) <= 24
    assert max(map(len, shown)) <= 80
    assert sorted(" ".join(names for names, _ in SUBJECTS).split()) == sorted(COMMANDS)


@pytest.mark.parametrize("old", RENAMED)
def test_a_verb_by_its_old_name_is_told_its_new_one(old: str) -> None:
    done = sizewise(*old.split(), "--help")
    assert done.code == 2 and f"It was renamed to `sizewise {RENAMED[old]}`" in done.err
    assert tuple(RENAMED[old].split()) in ALL and tuple(old.split()) not in ALL


def test_the_table_of_renamed_verbs_is_the_one_in_the_docs() -> None:
    rows = [line.split("\t") for line in Path("docs/names.tsv").read_text().splitlines()]
    assert {old: new for old, new, kind in rows if kind == "cli" and "--" not in old} == RENAMED
    options = {old: new.split()[-1] for old, new, kind in rows if kind == "cli" and old.split()[-1].startswith("--")}
    assert {old: new for old, new in options.items() if new.startswith("--")} == RENAMED_OPTIONS


@pytest.mark.parametrize("old", RENAMED_OPTIONS)
def test_a_renamed_option_is_refused_with_its_new_name(old: str) -> None:
    *command, option = old.split()
    done = sizewise(*command, option, "x")
    assert done.code == 2 and f"hint: it was renamed to {RENAMED_OPTIONS[old]}" in done.err


@pytest.mark.long
@pytest.mark.parametrize("group", ["audit", "budgets", "keys", "knowledge", "models", "users", "widget"])
def test_list_does_what_the_bare_group_does(echo: Served, group: str) -> None:
    listed = sizewise(group, "list", "--json", home=echo.home)
    assert listed.code == 0 and listed.json == sizewise(group, "--json", home=echo.home).json


@pytest.mark.parametrize(
    "path", [path for path in ALL if path not in ((), ("route",), ("orgs",), ("import",), ("settings",), ("edge",))]
)
def test_every_verb_has_json_and_an_example(path: tuple[str, ...]) -> None:
    shown = ALL[path].get_help(click.Context(ALL[path], info_name=path[-1], **root.context_settings))
    assert "Example: " in shown
    assert "--json" in shown
    assert f"sizewise {' '.join(path)}" in shown or path == ("completion",)


def test_the_short_helps_are_the_verbs_own_first_sentences() -> None:
    for each in ALL.values():
        if isinstance(each, LazyGroup):
            for name, verb in each.lazy_commands.items():
                assert (verb.load().help or "").partition("\n")[0] == verb.short_help, name


def test_importing_the_command_line_imports_little_of_ours_and_of_others_click_alone() -> None:
    """What Python itself loads at its start (`sitecustomize`, a `.pth` of setuptools) does not count."""
    code = "import sys; before = {*sys.modules}; import sizewise.cli.main; print(*sys.modules.keys() - before)"
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}  # without make coverage's start
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    modules = done.stdout.split()
    assert {each for each in modules if each.startswith("sizewise")} == {
        *("sizewise", "sizewise.errors", "sizewise.cli", "sizewise.cli.main", "sizewise.cli.lazy_group")
    }
    rooms = {each.partition(".")[0] for each in modules} - sys.stdlib_module_names - {"sizewise", "click"}
    assert not rooms and len(modules) < 100


@pytest.mark.parametrize("words", [(), ("route",)])
def test_no_verb_at_all_is_answered_with_the_help(words: tuple[str, ...]) -> None:
    done = sizewise(*words)
    assert done.code == 2
    assert done.err.startswith("Usage: sizewise")


def test_the_version_is_told() -> None:
    assert sizewise("--version").out.strip()[0].isdigit()


@pytest.mark.parametrize(
    ("words", "near"),
    [(("recrods",), "'records'"), (("models", "shwo", "a"), "'show'"), (("records", "--lsat", "3"), "'--last'")],
)
def test_a_misspelt_word_is_told_with_the_nearest(words: tuple[str, ...], near: str) -> None:
    done = sizewise(*words)
    assert done.code == 2
    assert near in done.err
    assert len(done.err.splitlines()) == 2
    assert done.hint.startswith("hint: sizewise")
    assert done.out == ""


@pytest.mark.parametrize(
    "words", [("records", "--last", "0"), ("up", "--port", "99999"), ("ask", "a", "--max-tokens", "x")]
)
def test_a_wrong_value_is_the_askers_mistake(words: tuple[str, ...]) -> None:
    assert sizewise(*words).code == 2


@pytest.mark.parametrize("words", [("ask", "hello"), ("records",), ("keys",), ("route", "explain", "hello")])
def test_without_a_server_the_next_step_is_to_start_it(words: tuple[str, ...], tmp_path: Path) -> None:
    done = sizewise(*words, home=tmp_path)
    assert done.code == 3
    assert done.out == ""
    assert len(done.err.splitlines()) == 2
    assert done.hint == "hint: start it: sizewise up"


def test_for_scripts_an_error_is_json_on_stdout_and_nothing_else(tmp_path: Path) -> None:
    done = sizewise("records", "--json", home=tmp_path)
    assert done.code == 3
    assert done.err == ""
    assert done.json["error"]["code"] == "outside_failed"
    assert done.json["error"]["hint"]


def test_an_option_without_its_value_points_to_the_help_of_its_command() -> None:
    assert sizewise("erase", "--session").hint == "hint: sizewise erase --help"
    assert sizewise("eval", "run", "--target").hint == "hint: sizewise eval run --help"


def test_a_misuse_is_json_too_where_json_was_asked_for() -> None:
    done = sizewise("records", "--json", "--lsat", "3")
    assert (done.code, done.err) == (2, "")
    assert done.json["error"]["code"] == "bad_request"


def test_wrong_settings_end_with_2_and_all_mistakes(tmp_path: Path) -> None:
    (tmp_path / "sizewise.toml").write_text("[servr]\nport = 1\n")
    done = sizewise("records", home=tmp_path)
    assert done.code == 2
    assert "server" in done.err


def test_a_server_that_was_killed_is_not_asked(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    (tmp_path / "server.json").write_text(f'{{"url": "http://127.0.0.1:1", "pid": {gone.pid}}}')
    (tmp_path / "admin.token").write_text("sw-admin" + "x" * 43)
    assert sizewise("records", home=tmp_path).hint == "hint: start it: sizewise up"


def test_a_server_that_does_not_answer_is_told(tmp_path: Path) -> None:
    (tmp_path / "server.json").write_text(f'{{"url": "http://127.0.0.1:1", "pid": {os.getpid()}}}')
    (tmp_path / "admin.token").write_text("sw-admin" + "x" * 43)
    done = sizewise("records", home=tmp_path)
    assert done.code == 3
    assert done.hint == "hint: run: sizewise doctor"
    assert "sw-admin" not in done.err


def test_another_server_is_asked_by_its_url_and_key(echo: Served, tmp_path: Path) -> None:
    named = {"SIZEWISE_KEY": echo.key}
    assert sizewise("records", "--url", echo.url, "--json", home=tmp_path, **named).code == 0
    assert sizewise("records", "--json", home=tmp_path, SIZEWISE_URL=echo.url, **named).code == 0
    assert "SIZEWISE_KEY" in sizewise("records", "--url", echo.url, home=tmp_path).err
    assert sizewise("keys", "revoke", "sw-a", "--url", echo.url, home=tmp_path, **named).code == 2


@pytest.mark.long
def test_colours_are_for_those_who_watch(tmp_path: Path) -> None:
    assert ESCAPE in watched("models", home=tmp_path)
    assert ESCAPE not in watched("models", home=tmp_path, NO_COLOR="1")
    assert ESCAPE not in sizewise("models", home=tmp_path).out
    assert ESCAPE not in watched("models", "--json", home=tmp_path)


def test_a_table_is_cut_at_the_edge_of_the_terminal(tmp_path: Path) -> None:
    narrow = watched("models", home=tmp_path, COLUMNS="40", NO_COLOR="1").splitlines()
    assert max(map(len, narrow)) == 40
    assert narrow[0].endswith("…")


def test_a_reader_that_leaves_is_no_fault(tmp_path: Path) -> None:
    env = environment(SIZEWISE_HOME=str(tmp_path), PYTHONPATH=PYTHONPATH)
    ours, theirs = os.pipe()
    os.close(ours)
    done = subprocess.run(command("models"), env=env, stdout=theirs, stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(theirs)
    assert "Traceback" not in done.stderr
    assert "Broken" not in done.stderr
    assert done.returncode == 141


def test_ctrl_c_ends_quietly(echo: Served) -> None:
    env = environment(SIZEWISE_HOME=str(echo.home), PYTHONPATH=PYTHONPATH)
    words = command("ask", "-m", "echo/small", "one two three [[hang after=1]]")
    with start(words, env=env) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.read(3) == "one"
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert process.stderr.read().strip() == ""
    until(lambda: '"status": 499' in sizewise("records", "--json", "--last", "3", home=echo.home).out)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shells_can_complete_our_words(shell: str) -> None:
    if shell == "bash" or not sizewise("completion", shell).err:
        assert "_SIZEWISE_COMPLETE" in sizewise("completion", shell).out


def test_a_half_word_is_completed() -> None:
    assert (
        sizewise(_SIZEWISE_COMPLETE="bash_complete", COMP_WORDS="sizewise rec", COMP_CWORD="1").out.strip()
        == "plain,records"
    )


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("sizewise ask -m ech", ["echo/large", "echo/small"]),
        ("sizewise ask -m aut", ["auto", "auto:default"]),
        ("sizewise route explain -m ech", ["echo/large", "echo/small"]),
        ("sizewise models show echo/s", ["echo/small"]),
        ("sizewise models pull smol", ["smollm2-135m"]),
        ("sizewise keys create x --model echo/l", ["echo/large"]),
        ("sizewise flow run no", []),
        ("sizewise knowledge search no", []),
    ],
)
def test_a_half_name_is_completed(echo: Served, words: str, found: list[str]) -> None:
    assert _completed(words, echo.home) == found


@pytest.mark.parametrize("words", ["sizewise ask -m ech", "sizewise flow run x", "sizewise knowledge list x"])
def test_without_a_server_no_name_is_completed_and_nothing_is_said(tmp_path: Path, words: str) -> None:
    assert _completed(words, tmp_path) == []


def _completed(words: str, home: Path) -> list[str]:
    number = str(len(words.split()) - 1)
    done = sizewise(home=home, _SIZEWISE_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=number)
    assert not done.err
    return [line.removeprefix("plain,") for line in done.out.split()]


@pytest.mark.parametrize("as_json", [True, False])
def test_a_bug_is_one_line_with_its_place_and_never_a_traceback(as_json: bool) -> None:
    program = "import sys; sys.modules['sizewise.cli.fit'] = None; from sizewise.cli.main import main; main()"
    words = ["fit", "qwen", *(["--json"] if as_json else [])]
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, env=environment())
    assert done.returncode == 3 and "Traceback" not in done.stdout + done.stderr
    if as_json:
        error = json.loads(done.stdout)["error"]
        assert (error["code"], error["exit"]) == ("internal_error", 3) and "Error at " in error["message"]
    else:
        assert "internal error: ModuleNotFoundError at " in done.stderr and "report this line" in done.stderr
