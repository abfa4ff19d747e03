"""Prompt files: prompts to be answered and scored, one JSON object a line, each checked. Asks no model."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import msgspec
from msgspec import UNSET, Struct, UnsetType

from sizewise.errors import BadRequest
from sizewise.evals.dataset_files import read_rows
from sizewise.evals.scorers import SCORERS, ScorerName, check_reference, compile_schema, references
from sizewise.routing.structured_output import OutputSchema

HINT = "see docs/how-to/calibrate.md"


class ScoredPrompt(Struct, frozen=True, omit_defaults=True):
    """A prompt with what its answers are scored by; `reference` is any JSON value, a list holds alternatives."""

    prompt_id: str
    prompt: str
    scorer: ScorerName
    category: str | int | None = None
    reference: object = None
    schema: dict[str, object] | None = None
    template: str | int | None = None  # prompts of one template are one piece of evidence
    groups: dict[str, str] = {}  # of the bias suite: dimension -> group

    def compiled_schema(self) -> OutputSchema | None:
        return None if self.schema is None else compile_schema(self.schema)

    def judge_question(self) -> str:
        """The question that a judge sees: with the reference, if there is one."""
        known = [str(each) for each in references(self.reference) if each is not None]
        return f"{self.prompt}\n\nA correct answer: {' / '.join(known)}" if known else self.prompt


class _Row(Struct):
    prompt: str
    prompt_id: str | int | UnsetType = UNSET
    category: str | int | None = None
    reference: object = None
    scorer: ScorerName | None = None
    schema: dict[str, object] | None = None
    template: str | int | None = None
    groups: dict[str, str] = {}


def read_prompts(file: Path, scorer: ScorerName | None) -> tuple[ScoredPrompt, ...]:
    """`scorer`: of prompts that name none; without both it is `exact`, or `json` for a prompt with a schema.

    A prompt without a prompt_id is identified by its text. Raises BadRequest, with file and line.
    """
    if file.is_dir():
        raise BadRequest(f"{str(file)!r} is a folder", "name the file of prompts in it, such as prompts.jsonl")
    if not file.is_file():
        raise BadRequest(f"there is no file {str(file)!r}", f"use a .jsonl file of prompts: {HINT}")
    found: dict[str, ScoredPrompt] = {}
    for number, row in read_rows(file, _Row):
        where = f"{str(file)!r}, line {number}"
        if not row.prompt.strip():
            raise BadRequest(f"{where}: the prompt is empty", "remove the line")
        one = _scored(row, scorer)
        if one.prompt_id in found:
            raise BadRequest(f"{where}: the prompt_id {one.prompt_id!r} is repeated", "use a unique id for each prompt")
        try:
            check_reference(one.scorer, one.reference, one.schema is not None)
            one.compiled_schema()
        except BadRequest as error:
            raise BadRequest(f"{where}: {error.message}", error.hint) from error
        found[one.prompt_id] = one
    if not found:
        raise BadRequest(f"{str(file)!r} has no prompts", f"write one JSON object a line: {HINT}")
    return tuple(found.values())


def _scored(row: _Row, scorer: ScorerName | None) -> ScoredPrompt:
    id = sha256(row.prompt.encode(errors="replace")).hexdigest()[:16] if row.prompt_id is UNSET else str(row.prompt_id)
    chosen = row.scorer or scorer or (SCORERS[0] if row.schema is None else "json")
    return ScoredPrompt(
        prompt_id=id,
        prompt=row.prompt,
        scorer=chosen,
        category=row.category,
        reference=row.reference,
        schema=row.schema,
        template=row.template,
        groups=row.groups,
    )


def encode_prompts(prompts: tuple[ScoredPrompt, ...]) -> bytes:
    """One JSON object a line, as `read_prompts` reads it. Deterministic."""
    return b"".join(msgspec.json.encode(each, order="sorted") + b"\n" for each in prompts)
