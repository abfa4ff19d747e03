"""What is wrong with flows as the terminal says it: lines that editors jump to, or JSON; finds nothing itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click
import msgspec

from sizewise.flows.file_source import File
from sizewise.flows.language.diagnostics import Finding


def told_json(found: Mapping[str, File], told: Mapping[str, list[Finding]]) -> dict[str, object]:
    rows = [
        {"name": name, "file": str(found[name].path), "findings": [msgspec.to_builtins(each) for each in told[name]]}
        for name in found
    ]
    return {"flows": rows, "mistakes": sum(each.kind == "mistake" for name in told for each in told[name])}


def say(path: Path, found: Finding, err: bool = False) -> None:
    """As compilers say it, so that editors jump there."""
    node = f"{found.node}: " if found.node else ""
    kind = "" if found.kind == "mistake" else "warning: "
    click.echo(f"{path}:{found.line}:{found.column}: {kind}{node}{found.message}", err=err)
    if found.hint:
        click.echo(f"    {found.hint}", err=err)
