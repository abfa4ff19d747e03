"""The user's own GGUF files: which there are, kept in <home>/models.toml; copies and changes none of them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import fields
from datetime import date
from pathlib import Path

from sizewise.catalog import gguf_header
from sizewise.catalog.file_lock import alone
from sizewise.catalog.loader import LOCAL, Row, embedded, own
from sizewise.errors import BadRequest, Conflict, Outside, UnknownModel, nearest
from sizewise.model_card import Weights
from sizewise.settings.models import Facts
from sizewise.settings.validators import name

HEAD = (
    "# Your own models, written by `sizewise models add` and `sizewise models remove`. The files stay where they lie.\n"
)
SPLIT = re.compile(r"-\d{5}-of-\d{5}\.gguf\Z", re.IGNORECASE)
PLAIN = re.compile(r"[^a-z0-9._-]+")


async def add(file: Path, home: Path, called: str = "") -> str:
    """Notes the GGUF `file` down and says under which name it can be asked, `local/<name>`.

    Adding it again reads its header anew. Raises ModelUnavailable when it is no usable GGUF, Conflict when the name is
    another model's, BadRequest when it is no name.
    """
    path = file.expanduser().absolute()
    if SPLIT.search(path.name):
        raise BadRequest(f"{path.name!r} is one part of several", "Join them first: llama-gguf-split --merge FIRST OUT")
    row = _row(path)
    model = _name(called or PLAIN.sub("-", path.stem.lower()).strip("-._"))
    async with alone(home / "models.lock"):
        rows = own(home)
        taken = model in embedded() or (model in rows and rows[model].weights.path != str(path))
        if taken:
            raise Conflict(f"there is a local model {model!r} already", "Give another name: --name NAME")
        _write({**rows, model: row}, home)
    return f"{LOCAL}/{model}"


async def remove(called: str, home: Path) -> None:
    """Forgets the model; its file stays where it lies. UnknownModel names the nearest."""
    model = called.removeprefix(f"{LOCAL}/")
    async with alone(home / "models.lock"):
        rows = own(home)
        if model not in rows:
            near = nearest(model, list(rows)) or "`sizewise models` shows all."
            raise UnknownModel(f"you have added no model {called!r}", near, param="model")
        _write({name: row for name, row in rows.items() if name != model}, home)


def _row(path: Path) -> Row:
    header = gguf_header.read(path)
    facts = Facts(
        parameters=header.parameters or None,
        context=header.context or None,
        logprobs=True,
        license=header.licence or None,
    )
    said = f"the file's GGUF header, read {date.today().isoformat()}"
    sources = {each: said for each, value in _told(facts).items() if value is not None}
    sources["logprobs"] = "the runtime reports them for every model"
    return Row(Weights(file=path.name, sha256="", bytes=header.weights, path=str(path)), facts, sources)


def _name(text: str) -> str:
    try:
        return name(text)
    except ValueError as why:
        raise BadRequest(f"{text!r} is no name for a model: {why}", "Give one: --name NAME") from why


def _told(facts: object) -> Mapping[str, object]:
    """A dataclass's values that were set to something."""
    values = {each.name: getattr(facts, each.name) for each in fields(facts)}  # type: ignore[arg-type]  # a dataclass
    return {each: value for each, value in values.items() if value not in (None, "", ())}


def _write(rows: Mapping[str, Row], home: Path) -> None:
    """Replaces the whole file at once, so that a reader sees the old or the new."""
    path, beside = home / "models.toml", home / "models.toml.new"
    try:
        beside.write_text(HEAD + "".join(_lines(name, row) for name, row in rows.items()), "utf-8")
        os.replace(beside, path)
    except OSError as why:
        raise Outside(f"{str(path)!r} cannot be written: {why.strerror}", "Check the folder and its disk.") from why


def _lines(name: str, row: Row) -> str:
    text = ""
    for part, values in (
        ("weights", {"sha256": row.weights.sha256, **_told(row.weights)}),
        ("facts", _told(row.facts)),
        ("sources", row.sources),
    ):
        text += f"\n[{_quoted(name)}.{part}]\n"
        text += "".join(f"{key} = {_quoted(value)}\n" for key, value in values.items())
    return text


def _quoted(value: object) -> str:
    """JSON's texts, numbers and truths are TOML's, but for one control character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
