"""`sizewise import lamatic` and `sizewise flow export`: Lamatic's flow files to YAML flows and back."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import click

from sizewise.atomic_file import create_file_atomically, write_file_atomically
from sizewise.cli.flow_check import select_flows
from sizewise.cli.flow_list import flows_folder
from sizewise.cli.options import local_options, wants_json
from sizewise.cli.output import write_json
from sizewise.errors import BadRequest, ExternalFailure
from sizewise.flows.language.yaml_source import parse_yaml
from sizewise.flows.node import FlowSignature
from sizewise.flows.validator import parse_flow_text, signature_of_spec
from sizewise.lamatic import exporter, file_formats, file_writer, importer
from sizewise.lamatic.canvas import Canvas, LamaticFileError, TranslationNote
from sizewise.lamatic.importer import ImportedFlow
from sizewise.lamatic.project_files import FileLookup
from sizewise.lamatic.round_trip import check_round_trip
from sizewise.lamatic.typescript_literals import MAX_BYTES

SUFFIXES = (".yaml", ".yml", ".ts", ".json")
SKIPPED_FOLDERS = frozenset({"node_modules", "apps", "public", "dist"})
MAX_FLOWS = 500
"""Maximum files of one import."""


@click.command()
@click.argument("path", type=click.Path(path_type=Path, exists=True))
@click.option("--to", type=click.Path(path_type=Path, file_okay=False), metavar="FOLDER", help="Folder for the flows.")
@click.option("--replace", is_flag=True, help="Overwrite flows of the same name.")
@local_options
def lamatic(path: Path, to: Path | None, replace: bool) -> int:
    """Import flows from Lamatic.

    Exits with 1 if a flow could not be imported.

    PATH is a flow file (YAML of Flow Config, an AgentKit flow, a synced one, or JSON of the API), or a folder: a kit, a
    synced repository, or files. Nodes without an equivalent are reported with advice, and kept in the file as comments.

    \b
    Example: sizewise import lamatic kits/support
    """
    drawings: dict[str, Canvas] = {}
    refused: dict[str, LamaticFileError] = {}
    for each, root in list(_find_flows(path)):
        name = str(each)
        try:
            found = _read_text(each)
            drawings[name] = file_formats.parse_file(each.relative_to(root).as_posix(), found, _file_lookup(root))[1]
        except LamaticFileError as error:
            if each == path or _is_flow_file(each):
                refused[name] = error
    made = importer.import_flows(drawings)
    if not made and not refused:
        raise BadRequest(f"{str(path)!r} contains no Lamatic flow", "use a flow file, or the folder of a kit")
    where = to or flows_folder()
    rows = [
        _write_flow(source, each, where, replace) for source, each in made.items() if isinstance(each, ImportedFlow)
    ]
    bad = {**refused, **{source: each for source, each in made.items() if isinstance(each, LamaticFileError)}}
    if wants_json():
        write_json({"flows": rows, "refused": {source: wrong.message for source, wrong in bad.items()}})
    else:
        for source, wrong in bad.items():
            click.echo(f"{source}: cannot be read: {wrong.message}. {wrong.hint or ''}".rstrip())
    return 1 if bad or any(row["named"] for row in rows) else 0


def _write_flow(source: str, made: ImportedFlow, where: Path, replace: bool) -> dict[str, object]:
    """The file of the flow and its messages. Raises BadRequest if there already is one."""
    path = where / f"{made.name}.yaml"
    try:
        where.mkdir(parents=True, exist_ok=True)
        if replace:
            write_file_atomically(path, made.text.encode())
        else:
            create_file_atomically(path, made.text.encode(), 0o666)
    except FileExistsError as error:
        hint = "use another folder (--to), or overwrite it (--replace)"
        raise BadRequest(f"the flow {made.name!r} already exists: {str(path)!r}", hint) from error
    except OSError as error:
        raise ExternalFailure(
            f"{str(path)!r} cannot be written: {error.strerror}", "check that the folder is writable"
        ) from error
    counts = _count_grades(made.notes)
    if not wants_json():
        click.echo(f"{path}: {_summary(counts)}, from {source}")
        _print_notes(made.notes)
    told = [
        {"node": t.node, "type": t.type, "grade": t.grade, "message": t.message, "hint": t.hint} for t in made.notes
    ]
    return {"name": made.name, "file": str(path), "from": source, **counts, "nodes": told}


def _count_grades(notes: tuple[TranslationNote, ...]) -> dict[str, int]:
    """Number of nodes by their worst message."""
    worst: dict[str, str] = {}
    for each in notes:
        new = each.node not in worst
        if new or each.grade == "named" or (each.grade == "note" and worst[each.node] == "imported"):
            worst[each.node] = each.grade
    return {grade: list(worst.values()).count(grade) for grade in ("imported", "note", "named")}


def _summary(counts: dict[str, int], done: str = "imported") -> str:
    said = [f"{counts['imported'] + counts['note']} nodes {done}"]
    if counts["note"]:
        said.append(f"{counts['note']} of them with notes")
    if counts["named"]:
        said.append(f"{counts['named']} not")
    return ", ".join(said)


def _print_notes(notes: tuple[TranslationNote, ...]) -> None:
    for each in notes:
        if each.grade == "named":
            click.echo(f"  not {each}")
        elif each.grade == "note":
            click.echo(f"  note {each}")


def _find_flows(path: Path) -> Iterator[tuple[Path, Path]]:
    """Files that may be flows, each with the root of its project."""
    if path.is_file():
        yield path, path.parent.parent if path.parent.name == "flows" else path.parent
        return
    count = 0
    waiting = [path]
    while waiting:
        here = waiting.pop(0)
        for each in sorted(here.iterdir()):
            if each.name.startswith(".") or each.is_symlink():
                continue
            if each.is_dir() and each.name not in SKIPPED_FOLDERS:
                waiting.append(each)
            elif (
                each.is_file()
                and each.suffix in SUFFIXES
                and (here.name == "flows" or (here == path and each.suffix != ".ts"))
            ):
                count += 1
                if count > MAX_FLOWS:
                    raise BadRequest(f"there are more than {MAX_FLOWS} files in {str(path)!r}", "import them in parts")
                yield each, here.parent if here.name == "flows" else here


def _is_flow_file(path: Path) -> bool:
    """Whether an unreadable file was meant to be a flow."""
    return path.parent.name == "flows"


def _read_text(path: Path) -> str:
    """Raises LamaticFileError."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise LamaticFileError(f"the file is longer than {MAX_BYTES} bytes", "Split it.")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise LamaticFileError("the file is not valid text", "Save it as UTF-8.") from error


def _file_lookup(root: Path) -> FileLookup:
    """Finds only files below the root, also through symbolic links."""
    top = root.resolve()

    def find(name: str) -> str | None:
        path = (top / name).resolve()
        return _read_text(path) if path.is_relative_to(top) and path.is_file() else None

    return find


@click.command()
@click.argument("name")
@click.option(
    "--format",
    "format_",
    type=click.Choice(file_writer.EXPORT_FORMATS),
    default="lamatic-yaml",
    help="Output format. [lamatic-yaml]",
)
@click.option("--to", type=click.Path(path_type=Path, file_okay=False), metavar="FOLDER", help="Folder for the files.")
@local_options
def export(name: str, format_: file_writer.ExportFormat, to: Path | None) -> int:
    """Export a flow as Lamatic's YAML or as a kit.

    Exits with 1 if part of it has no equivalent there, or would come back different from an import.

    NAME is a flow in the folder `flows`, or a file. YAML is printed unless a folder is given; a kit needs a folder.

    \b
    Example: sizewise flow export support > support.lamatic.yaml
    """
    ((stem, file),) = select_flows((name,)).items()
    flow = file.validation.flow
    if flow is None:
        raise BadRequest(f"the flow {stem!r} has errors", f"run: sizewise flow check {name}")
    drawing, told = exporter.export_flow(parse_yaml(file.text).data)
    written = file_writer.write_files(drawing, format_)
    told += check_round_trip(flow, written, told, partial(_signature, file.path.parent))
    is_printed = to is None and format_ == "lamatic-yaml"
    where = to or Path(drawing.name)
    for path, text in () if is_printed else written.items():
        _write_text(where / path, text)
    if wants_json():
        files = dict(written) if is_printed else {str(where / path): None for path in written}
        notes = [{"grade": each.grade, "message": str(each)} for each in told]
        write_json({"flow": stem, "files": files, "notes": notes})
        return 1 if any(each.grade == "named" for each in told) else 0
    if is_printed:
        click.echo(next(iter(written.values())), nl=False)
    else:
        click.echo(f"{where}: {_summary(_count_grades(told), 'exported')}", err=True)
    for each in told:
        if each.grade != "imported":
            click.echo(f"{'not exported' if each.grade == 'named' else 'note'}: {each}", err=True)
    return 1 if any(each.grade == "named" for each in told) else 0


def _signature(folder: Path, name: str) -> FlowSignature | None:
    """The signature of a flow in the folder, without a version."""
    path = folder / f"{name.partition('@')[0]}.yaml"
    spec = parse_flow_text(path.read_text(encoding="utf-8")).spec if path.is_file() else None
    return None if spec is None else signature_of_spec(spec)


def _write_text(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file_atomically(path, text.encode())
    except OSError as error:
        raise ExternalFailure(
            f"{str(path)!r} cannot be written: {error.strerror}", "check that the folder is writable"
        ) from error
