"""`sizewise eval ci`: answers the evals of a change by its base and its head in turn, and judges the head."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import click
from msgspec.structs import replace

from sizewise.app.eval_folder import SUFFIXES, read_eval
from sizewise.cli.change_annotations import change_annotations
from sizewise.cli.change_report import (
    ALTERS,
    ChangeReport,
    FileFinding,
    change_json,
    change_junit,
    change_markdown,
    finding_of,
    sarif,
)
from sizewise.cli.commit_server import SETTINGS_FILE, commit_server
from sizewise.cli.eval_change import ChangeCheck, EvalOutcome, Side, eval_names_in
from sizewise.cli.git_commits import Commit, check_out, merge_base, resolve_commit, top_folder
from sizewise.cli.options import command_settings, local_options, wants_json
from sizewise.cli.output import write_file, write_json
from sizewise.errors import BadRequest, SizewiseError
from sizewise.flows.file_source import load_flow_files
from sizewise.flows.node_registry import NodeRegistry

SECRET_NAME = re.compile(r"\benv:([A-Za-z0-9_]{1,100})")


@click.command()
@click.option("--base", metavar="REF", required=True, help="Branch or commit that the change goes to.")
@click.option("--head", metavar="REF", default="HEAD", help="The change. [HEAD]")
@click.option("--untrusted", is_flag=True, help="From a fork: no secrets, and only models of this machine.")
@click.option(
    "--labels", default="", metavar="NAMES", help=f"Of the pull request, by comma; {ALTERS} allows new rules."
)
@click.option("--all", "every", is_flag=True, help="Also evals whose inputs did not change.")
@click.option("--cache", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="Keep answers here.")
@click.option("--markdown", type=click.Path(path_type=Path), metavar="FILE", help="Write a pull-request comment.")
@click.option("--junit", type=click.Path(path_type=Path), metavar="FILE", help="Write JUnit XML.")
@click.option(
    "--sarif", "sarif_file", type=click.Path(path_type=Path), metavar="FILE", help="Write SARIF of mistakes in files."
)
@click.option("--annotations", type=click.Path(path_type=Path), metavar="FILE", help="Write GitHub annotations.")
@click.option("--report", type=click.Path(path_type=Path), metavar="FILE", help="Write JSON.")
@local_options
def ci(
    base: str,
    head: str,
    untrusted: bool,
    labels: str,
    every: bool,
    cache: Path | None,
    markdown: Path | None,
    junit: Path | None,
    sarif_file: Path | None,
    annotations: Path | None,
    report: Path | None,
) -> int:
    """Judge a change by the evals of its base.

    Checks out the commit where the change began and the change itself, each in a folder of its own, starts a server for
    each, asks both in turn on the same items, and applies the base's rules, data and budget. Exits with 1 unless all
    pass, and if evals are changed without the label `evals-change`.

    \b
    Example: sizewise eval ci --base origin/main --markdown comment.md
    """
    found, files = asyncio.run(_check(base, head, is_trusted=not untrusted, every=every, cache=cache))
    found = replace(found, may_alter=ALTERS in {each.strip() for each in labels.split(",")})
    for file, text in ((markdown, change_markdown), (junit, change_junit)):
        if file is not None:
            write_file(file, text(found))
    if annotations is not None:
        write_file(annotations, change_annotations(found, files))
    for file, value in ((sarif_file, sarif(found.findings)), (report, change_json(found))):
        if file is not None:
            write_file(file, _json_text(value))
    if wants_json():
        write_json(change_json(found))
    else:
        click.echo(found.sentence)
        for each in found.outcomes:
            click.echo(f"  {each.state:9}  {each.name}: {each.why}")
            for note in each.notes:
                click.echo(f"             {note}")
    return 0 if found.verdict == "pass" else 1


async def _check(
    base: str, head: str, *, is_trusted: bool, every: bool, cache: Path | None
) -> tuple[ChangeReport, Mapping[str, str]]:
    """With the path of each eval of the head. Raises BadRequest if a commit is missing."""
    top = await top_folder(Path.cwd())
    below = Path.cwd().resolve().relative_to(top.resolve())
    head_id = await resolve_commit(top, head)
    base_id = await merge_base(top, await resolve_commit(top, base), head_id)
    with TemporaryDirectory(prefix="sizewise-ci-") as made:
        work = Path(made)
        before = await check_out(top, base_id, work / "base")
        after = await check_out(top, head_id, work / "head")
        findings = tuple(_findings(after, below))
        if not is_trusted:
            _use_settings_of(before.folder / below, after.folder / below)
        outcomes = await _outcomes(
            before, after, below, is_trusted=is_trusted, every=every, cache=cache or work / "runs"
        )
        report = ChangeReport(
            base=before.short, head=after.short, outcomes=outcomes, findings=findings, only_here=not is_trusted
        )
        return report, {
            path.stem: (below / "evals" / path.name).as_posix() for path in _eval_files(after.folder / below)
        }


async def _outcomes(
    before: Commit, after: Commit, below: Path, *, is_trusted: bool, every: bool, cache: Path
) -> tuple[EvalOutcome, ...]:
    folders = {"base": before.folder / below, "head": after.folder / below}
    names = sorted({*eval_names_in(folders["base"]), *eval_names_in(folders["head"])})
    if not names:
        return ()
    settings = command_settings()
    async with AsyncExitStack() as stack:
        sides = list[Side]()
        try:
            for name, folder in folders.items():
                home = before.folder.parent / f"home-{name}"
                absent = () if is_trusted else _secret_names(folder / SETTINGS_FILE)
                server = commit_server(folder, home, settings, is_trusted=is_trusted, absent=absent)
                sides.append(Side(name, folder, await stack.enter_async_context(server)))
        except SizewiseError as error:
            return tuple(EvalOutcome(name=each, state="unclear", why=error.message) for each in names)
        check = ChangeCheck(sides[0], sides[1], cache, only_here=not is_trusted, every=every)
        return tuple([await check.check(name) for name in names])


def _findings(after: Commit, below: Path) -> Iterator[FileFinding]:
    """Mistakes in evals and flows of the head."""
    folder = after.folder / below
    for path in _eval_files(folder):
        try:
            read_eval(path)
        except BadRequest as error:
            found = finding_of(error.message, after.folder)
            if found is not None:
                yield found
    flows = folder / "flows"
    for file in load_flow_files(flows, NodeRegistry()).values() if flows.is_dir() else ():
        for each in file.errors:
            yield FileFinding(str(file.path).removeprefix(f"{after.folder}/"), each.line, each.column, each.message)


def _eval_files(folder: Path) -> Iterator[Path]:
    for name in eval_names_in(folder):
        yield from (path for suffix in SUFFIXES if (path := folder / "evals" / f"{name}{suffix}").is_file())


def _use_settings_of(base: Path, head: Path) -> None:
    """A stranger's settings could name a server of theirs, or a program."""
    (head / SETTINGS_FILE).unlink(missing_ok=True)
    if (base / SETTINGS_FILE).is_file():
        shutil.copyfile(base / SETTINGS_FILE, head / SETTINGS_FILE)


def _secret_names(file: Path) -> tuple[str, ...]:
    """Environment variables that the settings name."""
    return tuple(SECRET_NAME.findall(file.read_text("utf-8", "replace"))) if file.is_file() else ()


def _json_text(value: object) -> str:
    return json.dumps(value, indent=2) + "\n"
