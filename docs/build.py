"""Writes every generated page anew, or says which are stale; knows where the facts stand and states none itself.

python -m docs.build [--check]
"""

from __future__ import annotations

import ast
import inspect
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from docs import (
    cli_operations,
    command_line,
    fault_outcomes,
    flows,
    lamatic,
    licenses,
    models,
    provider_presets,
    roles,
    sbom,
    settings,
)
from sizewise import errors
from sizewise.errors import SizewiseError

DOCS = Path(__file__).parent
ROOT = DOCS.parent
MADE = "*Made by `python -m docs.build`; do not change it here.*"


def pages() -> dict[Path, str]:
    """Every generated file and what belongs into it."""
    return {
        **cli_operations.pages(),
        **settings.pages(),
        **command_line.pages(),
        **provider_presets.pages(),
        **flows.pages(),
        **lamatic.pages(),
        **models.pages(),
        **fault_outcomes.pages(),
        **licenses.pages(),
        **sbom.pages(),
        **roles.pages(),
        DOCS / "map.md": "\n".join(_map()),
        DOCS / "errors" / "README.md": "\n".join(_errors()),
        DOCS / "reference" / "kinds.md": "\n".join(_kinds()),
    }


def main(arguments: list[str]) -> int:
    """The exit code: 1 when --check found a stale page, else 0."""
    check = "--check" in arguments
    stale = sum(_write(path, text, check) for path, text in cli_operations.pages().items())  # the commands import it
    stale += sum(_write(path, text, check) for path, text in pages().items())
    return 1 if stale and check else 0


def _write(path: Path, text: str, check: bool) -> bool:
    """Whether the file was stale; with `check` it is reported and not written."""
    if path.exists() and path.read_text() == text:
        return False
    if check:
        sys.stderr.write(f"{path.relative_to(ROOT)} is stale: run `python -m docs.build`\n")
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        sys.stdout.write(f"wrote {path.relative_to(ROOT)}\n")
    return True


# ---- the map -----------------------------------------------------------------------------------------------------


def layers() -> list[list[str]]:
    """The packages of each layer, from the top down, as the contract in pyproject.toml has them."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    return [layer.replace("|", " ").replace(":", " ").replace("(", "").replace(")", "").split() for layer in layers]


def promise(path: Path) -> str:
    """The first sentence of a file: of its docstring, or of a comment at the top of a table."""
    if path.suffix == ".py":
        said = ast.get_docstring(ast.parse(path.read_text())) or ""
    else:
        said = next((line.lstrip("# ") for line in path.read_text().splitlines() if line.startswith("#")), "")
    return said.partition("\n")[0].strip()


def _map() -> Iterator[str]:
    yield f"# The map\n\n{MADE}\n"
    yield "Each file by its first line, layer by layer: a file imports only from its own layer and the layers below."
    yield "New here? Take the [tour](tour.md) first.\n"
    stack = layers()
    for number, names in zip(range(len(stack), 0, -1), stack, strict=True):
        yield f"## Layer {number}\n"
        yield from _table([ROOT / "sizewise" / name for name in names])
    yield "## Outside the package\n"
    yield from _table([ROOT / "bench", DOCS, ROOT / "tests"])


def _table(places: list[Path]) -> Iterator[str]:
    yield "| file | what it is |\n|---|---|"
    for place in places:
        files = _files(place) if place.is_dir() else [place.with_suffix(".py")]
        yield from (
            f"| {_named(path)} | {promise(path).replace('|', chr(92) + '|')} |" for path in files if path.exists()
        )
    yield ""


def _files(room: Path) -> list[Path]:
    """A room's own page first, then its files, then the rooms within it."""
    found = [path for path in room.rglob("*") if path.suffix in (".py", ".toml") and "__pycache__" not in path.parts]
    return sorted(found, key=lambda path: (path.parent.parts, path.name != "__init__.py", path.name))


def _named(path: Path) -> str:
    inside = path.relative_to(ROOT).as_posix()
    link = Path("..", inside).as_posix()
    room = path.name == "__init__.py"
    return f"**[{path.parent.relative_to(ROOT).as_posix()}/]({link})**" if room else f"[{inside}]({link})"


# ---- errors and kinds --------------------------------------------------------------------------------------------


def classes() -> list[type[SizewiseError]]:
    """Every error that can reach a user, in the order of errors.py."""
    found = [each for _, each in inspect.getmembers(errors, inspect.isclass) if issubclass(each, SizewiseError)]
    return sorted(found, key=lambda each: inspect.getsourcelines(each)[1])


def _errors() -> Iterator[str]:
    yield f"# Errors\n\n{MADE}\n"
    yield "Each error has a `code`, a `message` that says what was wrong, and a `hint` with the next step. At the"
    yield "terminal the exit code is 2 when you asked wrong, 3 when something outside broke, 1 when the answer is no.\n"
    yield "| code | status | exit code | what it means |\n|---|---|---|---|"
    for each in classes():
        page = DOCS / "errors" / f"{each.code}.md"
        yield f"| [{each.code}]({page.name}) | {each.status} | {each.exit_code} | {_second_paragraph(page)} |"
    yield ""


def _second_paragraph(page: Path) -> str:
    """What stands below the title, as one line."""
    paragraphs = page.read_text().split("\n\n") if page.exists() else []
    return " ".join(paragraphs[1].split()) if len(paragraphs) > 1 else ""


def kinds() -> dict[str, dict[str, str]]:
    """Kind -> member -> where it is, as the entry points of pyproject.toml declare them."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    return {group.removeprefix("sizewise."): members for group, members in groups.items()}


def _kinds() -> Iterator[str]:
    yield f"# What can be added\n\n{MADE}\n"
    yield "A new member is one file and one line among the entry points of `pyproject.toml`, in our package or in"
    yield "yours. Nothing is imported until it is named.\n"
    for kind, members in sorted(kinds().items()):
        yield f"## {kind}\n\n| name | promise |\n|---|---|"
        for name, where in sorted(members.items()):
            path = ROOT / Path(*where.partition(":")[0].split(".")).with_suffix(".py")
            link = Path("../..", path.relative_to(ROOT)).as_posix()
            yield f"| [`{name}`]({link}) | {promise(path) if path.exists() else ''} |"
        yield ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
