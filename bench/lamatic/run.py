"""Imports, checks and runs all flows of a folder of Lamatic kits on the echo model, and prints a table of the causes.

    python -m bench.lamatic.run FOLDER [--json] [--verbose]

FOLDER has `kits/NAME/flows/*.ts`, or `*.json` with the same values. Bodies of code that are not there are replaced by
stand-ins; `scripts_left_out.csv` may name the paths that each one reads. Nothing outside the machine is reached.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import dataclasses
import json
import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from bench.lamatic import stand_ins
from bench.lamatic.outside import StandInHttp, StandInKnowledge, StandInLibrary, StandInMemory
from sizewise.errors import SizewiseError
from sizewise.flows.language.yaml_source import parse_yaml
from sizewise.flows.node import FlowSignature, NodeDependencies
from sizewise.flows.validator import signature_of_spec, validate_flow
from sizewise.handler import RequestOptions
from sizewise.knowledge.load import DocumentProcesses
from sizewise.lamatic import exporter, file_formats, file_writer, importer
from sizewise.lamatic.canvas import Canvas, LamaticFileError
from sizewise.lamatic.importer import ImportedFlow
from sizewise.lamatic.round_trip import check_round_trip
from sizewise.settings.tools import SandboxSettings
from sizewise.tools.sandbox.process_pool import Sandbox
from tests.flows.in_process import KINDS, Ran, going

TIMEOUT_S = 30.0
_ID = re.compile(r"\w+?_\d+|\b\w+Node_\w+|'[^']*'|\"[^\"]*\"|\{\{[^}]*\}\}|\d+")


class FlowResult(Struct):
    """`refusals`: `node (type): message` of each node that is not imported. `error`: why it does not check or run.

    `round_trip`: equal, named (an export exits with 1 and names what differs), or empty.
    """

    flow: str
    refusals: list[str] = []
    checks: bool = False
    runs: bool = False
    error: str = ""
    round_trip: str = ""


class Kit:
    """The files of one kit; a `.ts` file may be a `.json` file with the same values."""

    def __init__(self, folder: Path, reads: Mapping[str, list[str]]) -> None:
        self.folder = folder
        self._reads = reads
        self.code: dict[str, str] = {}

    def flows(self) -> list[Path]:
        return sorted(each for each in (self.folder / "flows").iterdir() if each.suffix in (".ts", ".json"))

    def lookup(self, path: str) -> str | None:
        if path in self.code:
            return self.code[path]
        file = self.folder / path
        if file.is_file():
            return file.read_text(encoding="utf-8")
        values = file.with_suffix(".json")
        if path.endswith(".ts") and values.is_file():
            return f"export default {values.read_text(encoding='utf-8')};\n"
        return f"/*{path}*/" if path.startswith("scripts/") else None

    def canvas(self, path: Path) -> tuple[Canvas, dict[str, list[tuple[tuple[object, ...], str]]]]:
        """The flow with stand-ins for missing code, and the uses of its nodes. Raises LamaticFileError."""
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".json":
            data = json.loads(text)
            names = ", ".join(data)
            text = "".join(f"export const {name} = {json.dumps(each)};\n" for name, each in data.items())
            text += f"export default {{ {names} }};\n"
        name = f"flows/{path.stem}.ts"
        self.code = {}
        canvas = file_formats.parse_file(name, text, self.lookup)[1]
        missing = {
            node.id: code[2:-2]
            for node in canvas.nodes.values()
            if (code := str(node.values.get("code"))).startswith("/*scripts/") and code.endswith("*/")
        }
        reads = {id: self._reads.get(f"kits/{self.folder.name}/{script}", []) for id, script in missing.items()}
        reads = {id: [each for each in paths if "_" in each and "*" not in each] for id, paths in reads.items()}
        found = stand_ins.uses(canvas, reads)
        self.code = {
            script: stand_ins.code(reads[id], stand_ins.value(found.get(id, ()))) for id, script in missing.items()
        }
        return file_formats.parse_file(name, text, self.lookup)[1], found


def measure(folder: Path) -> list[FlowResult]:
    reads: dict[str, list[str]] = {}
    table = folder / "scripts_left_out.csv"
    if table.is_file():
        with table.open(encoding="utf-8") as file:
            reads = {row["script"]: row["template_variables"].split() for row in csv.DictReader(file)}
    made: list[FlowResult] = []
    for each in sorted((folder / "kits").iterdir()):
        if (each / "flows").is_dir():
            made += _measure_kit(Kit(each, reads))
    return made


def _measure_kit(kit: Kit) -> list[FlowResult]:
    results: dict[str, FlowResult] = {}
    canvases: dict[str, Canvas] = {}
    used: dict[str, dict[str, Any]] = {}
    for path in kit.flows():
        name = f"{kit.folder.name}/{path.stem}"
        results[name] = FlowResult(name)
        try:
            canvases[name], used[name] = kit.canvas(path)
        except LamaticFileError as error:
            results[name].refusals.append(f"the file: {error.message}")
    flows = importer.import_flows(canvases)
    texts = {each.name: each.text for each in flows.values() if isinstance(each, ImportedFlow)}
    for name, flow in flows.items():
        if isinstance(flow, LamaticFileError):
            results[name].refusals.append(f"the file: {flow.message}")
            continue
        results[name].refusals += [str(each) for each in flow.notes if each.grade == "named"]
        _check_and_run(results[name], flow, texts, canvases[name], used[name])
    return list(results.values())


def _check_and_run(
    result: FlowResult,
    imported: ImportedFlow,
    texts: Mapping[str, str],
    canvas: Canvas,
    used: dict[str, Any],
) -> None:
    def signature(name: str) -> FlowSignature | None:
        spec = validate_flow(texts[name], KINDS).spec if name in texts else None
        return None if spec is None else signature_of_spec(spec)

    checked = validate_flow(imported.text, KINDS, signature)
    flow = checked.flow
    if flow is None:
        result.error = next(f"check: {each}" for each in checked.diagnostics if each.kind == "mistake")
        return
    result.checks = not result.refusals
    here = Ran()
    trigger = next((each.id for each in canvas.nodes.values() if each.is_trigger), "")
    inputs = stand_ins.inputs(flow.spec.inputs, used.get(trigger, ()))
    answers: dict[str, Any] = {}
    for node in canvas.nodes.values():
        if node.type == "apiNode" and isinstance(made := stand_ins.value(used.get(node.id, ())), dict):
            answers.update(made)

    async def run() -> None:
        sandbox = Sandbox(SandboxSettings(timeout_s=5))
        dependencies = dataclasses.replace(
            NodeDependencies(here.asked),
            sandbox=sandbox,
            knowledge=StandInKnowledge(),
            memory=StandInMemory(),
            http=StandInHttp(answers),
            flows=StandInLibrary(texts, signature),
            read_file=DocumentProcesses().load,
        )
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await going(flow, inputs, here, RequestOptions(), dependencies)
        finally:
            await sandbox.close()

    try:
        asyncio.run(run())
        result.runs = result.checks
    except* (SizewiseError, TimeoutError) as errors:
        result.error = f"run: {_first(errors)}"
    data = parse_yaml(imported.text).data
    drawing, told = exporter.export_flow(data)
    written = file_writer.write_files(drawing, "agentkit")
    wrong = [*told, *check_round_trip(flow, written, told, signature)]
    result.round_trip = "named" if any(each.grade == "named" for each in wrong) else "equal"


def _first(errors: BaseException) -> str:
    while isinstance(errors, BaseExceptionGroup):
        errors = errors.exceptions[0]
    return f"{type(errors).__name__}: {errors}"[:300]


def table(results: list[FlowResult]) -> str:
    whole = len(results)
    counts = {
        "imported without a refusal": sum(not each.refusals for each in results),
        "checked without an error": sum(each.checks for each in results),
        "run on the echo model": sum(each.runs for each in results),
        "round trip equal": sum(each.round_trip == "equal" for each in results),
        "round trip with named differences": sum(each.round_trip == "named" for each in results),
    }
    lines = [f"| of {whole} flows | |", "|---|---|", *(f"| {name} | {count} |" for name, count in counts.items())]
    causes: dict[str, set[str]] = defaultdict(set)
    for each in results:
        for refusal in each.refusals or ([each.error] if each.error else []):
            causes[_ID.sub("…", refusal.partition(". ")[0])].add(each.flow)
    lines += ["", "| flows | why not |", "|---|---|"]
    ranked = Counter({cause: len(flows) for cause, flows in causes.items()})
    return "\n".join([*lines, *(f"| {count} | {cause} |" for cause, count in ranked.most_common())])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--json", action="store_true", help="every flow")
    parser.add_argument("--verbose", action="store_true", help="every refusal and error, then the table")
    options = parser.parse_args()
    results = measure(options.folder)
    if options.json:
        print(
            json.dumps([{name: getattr(each, name) for name in each.__struct_fields__} for each in results], indent=1)
        )
        return
    for each in results if options.verbose else ():
        for line in [*each.refusals, *([each.error] if each.error else [])]:
            print(f"{each.flow}: {line}")
    print(table(results))


if __name__ == "__main__":
    main()
