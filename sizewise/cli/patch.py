"""A promise put into a settings file, as its policy, and its proof beside it; all other lines stay as they were."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from difflib import unified_diff
from pathlib import Path

import click

from sizewise.config import Settings
from sizewise.errors import Outside
from sizewise.routing.promise import Promise
from sizewise.routing.proof import Proof, write
from sizewise.routing.sampled import Sampled

_HEAD = re.compile(r"\s*\[")


def with_table(text: str, head: str, lines: Sequence[str]) -> str:
    """`text` in which the table `head` (as in `[policies.mine]`) holds `lines` and nothing else."""
    old = text.splitlines()
    new = [head, *lines]
    place = next((number for number, line in enumerate(old) if line.split("#")[0].strip() == head), None)
    if place is None:
        gap = [""] if old and old[-1].strip() else []
        return "\n".join([*old, *gap, *new]) + "\n"
    end = next((number for number in range(place + 1, len(old)) if _HEAD.match(old[number])), len(old))
    while end > place + 1 and (not old[end - 1].strip() or old[end - 1].lstrip().startswith("#")):
        end -= 1  # blank lines and comments before the next table are the next table's
    return "\n".join([*old[:place], *new, *old[end:]]) + "\n"


def diff(old: str, new: str, name: str) -> list[str]:
    """As git shows it; empty where nothing changes."""
    return list(unified_diff(old.splitlines(), new.splitlines(), name, name, lineterm=""))


def promise(
    known: Settings, policy: str, kind: str, its: Promise, proof: Proof | Sampled, models: Sequence[str], writes: bool
) -> tuple[Path, list[str]]:
    """Where the proof lies, and what changes in the settings, as a diff; both written where they shall be."""
    config = known.config or Path("sizewise.toml").absolute()
    file = config.with_name(f"{policy}.proof.json")
    lines = (
        f'kind = "{kind}"',
        f'promise = {{quality = {its.quality:g}, of = "large", sure = {its.sure:g}}}',
        f'proof = "{file.name}"',
        f"models = {json.dumps(list(models), ensure_ascii=False)}",
    )
    try:
        old = config.read_text() if config.is_file() else ""
        new = with_table(old, f"[policies.{policy}]", lines)
        if writes:
            file.write_bytes(write(proof))
            config.write_text(new)
    except OSError as error:
        raise Outside(f"cannot write {error.filename!r}: {error.strerror}", "make it writable") from error
    return file, diff(old, new, config.name)


def show(file: Path, changed: Sequence[str], written: bool) -> None:
    click.echo()
    click.echo("\n".join(changed) or "The settings say so already.")
    click.echo()
    click.echo(f"{'Written' if written else 'Nothing is written yet: --write writes this'}, and the proof to {file}.")
