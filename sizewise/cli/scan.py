"""`sizewise scan`: scans data for poisoning before training or ingestion, and quarantines suspect rows."""

from __future__ import annotations

import getpass
from datetime import UTC, datetime
from pathlib import Path

import click

from sizewise.cli.options import as_json, wants_json
from sizewise.cli.output import write_json, write_table
from sizewise.cli.scan_quarantine import ScanFinding, ScannedPassage, read_passages, release_rows, split_rows
from sizewise.errors import BadRequest
from sizewise.guardrails.poisoning import Suspect
from sizewise.guardrails.poisoning import scan_passages as look


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@click.option(
    "--quarantine",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write clean and suspect rows to this folder.",
)
@click.option("--release", "freed", is_flag=True, help="Release the rows FILE:LINE... of DIR as clean.")
@click.option("--by", default="", metavar="NAME", help="Name to record as the reviewer. [the user of this machine]")
@as_json
@click.pass_context
def scan(ctx: click.Context, /, paths: tuple[Path, ...], quarantine: Path | None, freed: bool, by: str) -> None:
    """Scan data for poisoning: copies, triggers, outliers, injection.

    FILE is .jsonl, .csv, .txt, .md or a folder of them. Exits with 1 if a passage is suspect. With --quarantine every
    row is written to DIR/clean.jsonl or DIR/quarantined.jsonl, unchanged and with its provenance.

    \b
    Example: sizewise scan data/ --quarantine parted
             sizewise scan --quarantine parted --release data/faq.jsonl:17
    """
    when, who = datetime.now(UTC).isoformat(timespec="seconds"), by or _user()
    if freed:
        if quarantine is None:
            raise BadRequest("--release needs the quarantine folder", "add --quarantine DIR")
        count = release_rows(quarantine, [str(each) for each in paths], when, who)
        if wants_json():
            write_json({"released": count})
        else:
            click.echo(f"{count:,} released to {quarantine}/clean.jsonl")
        return
    rows = read_passages(paths)
    suspects = look([each.passage for each in rows])
    clean, held = -1, -1
    if quarantine is not None:
        found: dict[str, list[ScanFinding]] = {}
        for each in suspects:
            found.setdefault(each.id, []).append(ScanFinding(each.kind, each.reason))
        clean, held = split_rows(quarantine, rows, found, when, who)
    if wants_json():
        shown = {"passages": len(rows), "suspects": [_suspect_json(each) for each in suspects]}
        write_json(shown if quarantine is None else {**shown, "clean": clean, "quarantined": held})
    else:
        _show(rows, suspects)
        if quarantine is not None:
            click.echo(f"{quarantine}: {clean:,} clean, {held:,} quarantined")
    ctx.exit(1 if suspects else 0)


def _show(rows: list[ScannedPassage], suspects: list[Suspect]) -> None:
    if suspects:
        write_table(("WHERE", "KIND", "WHY"), [(each.id, each.kind, each.reason) for each in suspects])
    known = len({each.id for each in suspects})
    click.echo(f"{known:,} of {len(rows):,} passages are suspect" if known else f"{len(rows):,} passages, none suspect")


def _suspect_json(suspect: Suspect) -> dict[str, object]:
    file, _, line = suspect.id.rpartition(":")
    return {
        "file": file,
        "line": int(line),
        "kind": suspect.kind,
        "reason": suspect.reason,
        "score": round(suspect.score, 3),
    }


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"
