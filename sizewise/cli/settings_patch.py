"""Writes a certified policy into a settings file, and its certificate next to it; keeps all other lines."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from difflib import unified_diff
from pathlib import Path

import click

from sizewise.atomic_file import write_files_atomically
from sizewise.errors import BadRequest, ExternalFailure
from sizewise.routing.guarantees.bounds import QualityGuarantee
from sizewise.routing.guarantees.certificate import Certificate, encode_certificate
from sizewise.routing.guarantees.sampled_certificate import SampledCertificate
from sizewise.settings.load import Settings

_HEAD = re.compile(r"\s*\[")
OURS = frozenset({"target", "certificate", "models", "threshold", "prior"})
"""Options that a calibration writes, or that a certificate replaces."""


def replace_table(text: str, head: str, lines: Sequence[str]) -> str:
    """`text` with the table `head` (as in `[policies.mine]`) holding exactly `lines`."""
    end_of_line = "\r\n" if "\r\n" in text else "\n"
    old = text.splitlines()
    new = [head, *lines]
    place = next((number for number, line in enumerate(old) if line.split("#")[0].strip() == head), None)
    if place is None:
        gap = [""] if old and old[-1].strip() else []
        return end_of_line.join([*old, *gap, *new]) + end_of_line
    end = next((number for number in range(place + 1, len(old)) if _HEAD.match(old[number])), len(old))
    while end > place + 1 and (not old[end - 1].strip() or old[end - 1].lstrip().startswith("#")):
        end -= 1  # blank lines and comments before the next table are the next table's
    return end_of_line.join([*old[:place], *new, *old[end:]]) + end_of_line


def diff(old: str, new: str, name: str) -> list[str]:
    """A unified diff; empty if nothing changes."""
    return list(unified_diff(old.splitlines(), new.splitlines(), name, name, lineterm=""))


def write_policy(
    known: Settings,
    policy: str,
    kind: str,
    target: QualityGuarantee,
    certificate: Certificate | SampledCertificate,
    models: Sequence[str],
    write: bool,
) -> tuple[Path, list[str]]:
    """The path of the certificate, and the change of the settings as a diff; with `write` both are written, or neither.

    Other options of the policy are kept if it was of this kind. Raises BadRequest if the file does not define the
    policy as a table of its own, ExternalFailure if it cannot be written.
    """
    config = known.config_file or Path("sizewise.toml").absolute()
    file = config.with_name(f"{policy}.certificate.json")
    before = known.policies.get(policy)
    kept = {} if before is None or before.kind != kind else {k: v for k, v in before.options.items() if k not in OURS}
    lines = (
        f'kind = "{kind}"',
        f'target = {{quality = {target.quality:g}, reference = "large", confidence = {target.confidence:g}}}',
        f'certificate = "{file.name}"',
        f"models = {json.dumps(list(models), ensure_ascii=False)}",
        *(f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in kept.items()),
    )
    try:
        old = config.read_bytes().decode() if config.is_file() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise ExternalFailure(f"cannot read {str(config)!r}: {error}", "make it readable, as UTF-8") from error
    new = replace_table(old, f"[policies.{policy}]", lines)
    _readable(new, policy, lines)
    if write:
        _write({file: encode_certificate(certificate), config: new.encode()})
    return file, diff(old, new, config.name)


def _readable(text: str, policy: str, lines: Sequence[str]) -> None:
    """Raises BadRequest if the patched text is not TOML, or defines the policy elsewhere too."""
    hint = "add these lines by hand: " + "; ".join(lines)
    try:
        table = tomllib.loads(text).get("policies", {}).get(policy, {})
    except tomllib.TOMLDecodeError as error:
        raise BadRequest(f"the settings would no longer be valid TOML ({error})", hint) from error
    if set(table) - {line.partition(" = ")[0] for line in lines} or not table:
        raise BadRequest(f"the settings define the policy {policy!r} in more than one table", hint)


def _write(texts: Mapping[Path, bytes]) -> None:
    """Writes all of them or none; new files are readable by their owner only, since a certificate contains words of
    prompts.
    """
    try:
        for path in filter(Path.exists, texts):
            with path.open("ab"):
                pass  # raises if it is not writable
        write_files_atomically(texts, 0o600)
    except OSError as error:
        raise ExternalFailure(f"cannot write {error.filename!r}: {error.strerror}", "make it writable") from error


def print_patch(file: Path, diff: Sequence[str], written: bool) -> None:
    click.echo()
    click.echo("\n".join(diff) or "The settings are already up to date.")
    click.echo()
    if written:
        click.echo(f"Written, with the certificate {file}. A running server applies it after a restart.")
    else:
        click.echo(f"Nothing is written yet: --write writes this, and the certificate {file}.")
