"""A folder of Lamatic kits in their real form: TypeScript as AgentKit has it, with stand-ins for missing code."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from bench.lamatic.run import Kit
from bench.lamatic.stand_ins import Uses
from sizewise.lamatic.canvas import Canvas, LamaticFileError


def read_variables(folder: Path) -> dict[str, list[str]]:
    """`scripts_left_out.csv`: the paths that each left-out script reads."""
    table = folder / "scripts_left_out.csv"
    if not table.is_file():
        return {}
    with table.open(encoding="utf-8") as file:
        return {row["script"]: row["template_variables"].split() for row in csv.DictReader(file)}


class KitFlow(Struct):
    """A flow of a kit. `canvas`: None: the file cannot be read. `used`: node id -> the paths of its output that are
    read.
    """

    canvas: Canvas | None
    used: Mapping[str, Uses]

    @property
    def trigger(self) -> str:
        nodes = self.canvas.nodes.values() if self.canvas is not None else ()
        return next((each.id for each in nodes if each.is_trigger), "")


def write_kits(folder: Path, to: Path) -> Mapping[str, KitFlow]:
    """Writes `kits/NAME/...` of `folder` below `to`, as they are in AgentKit's repository.

    Returns the flows by their paths below `to`.
    """
    reads, flows = read_variables(folder), dict[str, KitFlow]()
    for each in sorted((folder / "kits").iterdir()):
        if (each / "flows").is_dir():
            flows.update(_write_kit(Kit(each, reads), to))
    return flows


def _write_kit(kit: Kit, to: Path) -> dict[str, KitFlow]:
    root, flows, code = to / "kits" / kit.folder.name, dict[str, KitFlow](), dict[str, str]()
    for path in kit.flows():
        target = f"kits/{kit.folder.name}/flows/{path.stem}.ts"
        try:
            flows[target] = KitFlow(*kit.canvas(path))
        except LamaticFileError:
            flows[target] = KitFlow(None, {})
        code |= kit.code
    for file in sorted(kit.folder.rglob("*")):
        if file.is_file():
            name, text = file.relative_to(kit.folder), file.read_text(encoding="utf-8")
            is_data = file.suffix == ".json"
            _write(root / (name.with_suffix(".ts") if is_data else name), _typescript(name, text) if is_data else text)
    for script, body in code.items():
        _write(root / script, body)
    return flows


def _typescript(name: Path, text: str) -> str:
    data = json.loads(text)
    if name.parts[0] != "flows":
        return f"export default {json.dumps(data, indent=2)};\n"
    lines = [f"export const {key} = {json.dumps(value, indent=2)};\n" for key, value in data.items()]
    return "".join(lines) + f"export default {{ {', '.join(data)} }};\n"


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
