"""Prints diagnostics of flows as compiler-style lines or JSON; finds none itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click
import msgspec

from sizewise.flows.file_source import FlowFile
from sizewise.flows.language.diagnostics import Diagnostic


def diagnostics_json(files: Mapping[str, FlowFile], diagnostics: Mapping[str, list[Diagnostic]]) -> dict[str, object]:
    rows = [
        {
            "name": name,
            "file": str(files[name].path),
            "findings": [msgspec.to_builtins(each) for each in diagnostics[name]],
        }
        for name in files
    ]
    return {
        "flows": rows,
        "mistakes": sum(each.kind == "mistake" for name in diagnostics for each in diagnostics[name]),
    }


def print_diagnostic(path: Path, found: Diagnostic, err: bool = False) -> None:
    """In the format of compilers, so that editors can jump to the position."""
    node = f"{found.node}: " if found.node else ""
    kind = "" if found.kind == "mistake" else "warning: "
    click.echo(f"{path}:{found.line}:{found.column}: {kind}{node}{found.message}", err=err)
    if found.hint:
        click.echo(f"    {found.hint}", err=err)
