"""The user's own GGUF files, registered in <home>/models.toml; never copies or changes them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import fields, replace
from datetime import date
from pathlib import Path

from sizewise.atomic_file import write_file_atomically
from sizewise.catalog import gguf_header
from sizewise.catalog.file_lock import file_lock
from sizewise.catalog.loader import LOCAL_PROVIDER, LocalModelEntry, bundled_models, user_models
from sizewise.errors import BadRequest, Conflict, ExternalFailure, ModelNotFound, did_you_mean
from sizewise.model_card import ModelWeights
from sizewise.settings.models import ModelSettings
from sizewise.settings.validators import name

FILE_HEADER = (
    "# Your own models, written by `sizewise models add` and `sizewise models remove`. The model files are not moved.\n"
)
SPLIT_FILE = re.compile(r"-\d{5}-of-\d{5}\.gguf\Z", re.IGNORECASE)
MODEL_NAME = re.compile(r"[^a-z0-9._-]+")


async def add_model(
    file: Path,
    home: Path,
    model_name: str = "",
    *,
    origin: str = "",
    license: str = "",
    sha256: str = "",
) -> str:
    """Registers the GGUF `file` and returns its model name, `local/<name>`. `origin`: where it was downloaded from,
    with the license stated there and the sha256 that it has; empty: the user's own file.

    Adding it again rereads its header. Raises ModelUnavailable for an unusable GGUF, Conflict if another model has the
    name, BadRequest for an invalid name.
    """
    path = file.expanduser().absolute()
    if SPLIT_FILE.search(path.name):
        raise BadRequest(
            f"{path.name!r} is one part of a split model", "Merge the parts first: llama-gguf-split --merge FIRST OUT"
        )
    row = _entry(path, origin, license, sha256)
    model = _name(
        MODEL_NAME.sub("-", (model_name or path.stem).lower()).strip("-._") if origin or not model_name else model_name
    )
    async with file_lock(home / "models.lock"):
        rows = user_models(home)
        taken = model in bundled_models() or (model in rows and rows[model].weights.path != str(path))
        if taken:
            raise Conflict(f"the local model {model!r} already exists", "Use another name: --name NAME")
        _write({**rows, model: row}, home)
    return f"{LOCAL_PROVIDER}/{model}"


async def add_adapter(
    adapter: Path,
    base: LocalModelEntry,
    base_file: Path,
    home: Path,
    model_name: str,
    *,
    decides: str = "",
    tuned: str = "",
) -> str:
    """Registers the LoRA file `adapter` on `base`, whose weights are in `base_file`, and returns its model name,
    `local/<name>`. `decides`: the question of decisions that it was tuned for. `tuned`: what it learned from.
    Adding one of the same name again replaces it. Raises Conflict if another model has the name.
    """
    model = _name(model_name)
    weights = replace(
        base.weights,
        path=str(base_file),
        wheels=(),
        member="",
        adapter=str(adapter.absolute()),
        decides=decides,
        tuned=tuned,
    )
    row = LocalModelEntry(weights, base.facts, base.sources)
    async with file_lock(home / "models.lock"):
        rows = user_models(home)
        if model in bundled_models() or (model in rows and not rows[model].weights.adapter):
            raise Conflict(f"the local model {model!r} already exists", "Use another name: --name NAME")
        _write({**rows, model: row}, home)
    return f"{LOCAL_PROVIDER}/{model}"


async def remove_model(model_name: str, home: Path) -> None:
    """Removes the entry; the file stays. ModelNotFound suggests the closest name."""
    model = model_name.removeprefix(f"{LOCAL_PROVIDER}/")
    async with file_lock(home / "models.lock"):
        rows = user_models(home)
        if model not in rows:
            near = did_you_mean(model, list(rows)) or "`sizewise models` lists all models."
            raise ModelNotFound(f"{model_name!r} is not a model that you added", near, param="model")
        _write({name: row for name, row in rows.items() if name != model}, home)


async def record_tuning(model_name: str, home: Path, tuned: str) -> None:
    """Replaces what the card of an adapter says of its training. Does nothing for a model that is not the user's."""
    model = model_name.removeprefix(f"{LOCAL_PROVIDER}/")
    async with file_lock(home / "models.lock"):
        rows = user_models(home)
        if (row := rows.get(model)) is not None:
            _write({**rows, model: replace(row, weights=replace(row.weights, tuned=tuned))}, home)


async def record_tools(model_name: str, home: Path, tools: bool, source: str) -> None:
    """Records whether the model calls tools, as measured. Does nothing for a model that is not the user's."""
    model = model_name.removeprefix(f"{LOCAL_PROVIDER}/")
    async with file_lock(home / "models.lock"):
        rows = user_models(home)
        if (row := rows.get(model)) is not None:
            sources = {**row.sources, "tools": source}
            _write({**rows, model: replace(row, facts=replace(row.facts, tools=tools), sources=sources)}, home)


def _entry(path: Path, origin: str = "", license: str = "", sha256: str = "") -> LocalModelEntry:
    header = gguf_header.read_header(path)
    facts = ModelSettings(
        parameters=header.parameters or None,
        context=header.context or None,
        logprobs=True,
        languages=frozenset(header.languages) or None,
        license=license or header.license or None,
    )
    said = f"the file's GGUF header, read {date.today().isoformat()}"
    sources = {each: said for each, value in _set_values(facts).items() if value is not None}
    sources["logprobs"] = "the runtime reports them for every model"
    if license:
        sources["license"] = f"as its registry states: {origin}"
    if origin:
        sources["origin"] = origin
    return LocalModelEntry(
        ModelWeights(file=path.name, sha256=sha256, bytes=header.weights_bytes, path=str(path)),
        facts,
        sources,
    )


def _name(text: str) -> str:
    try:
        return name(text)
    except ValueError as why:
        raise BadRequest(f"{text!r} is not a valid model name: {why}", "Set a name: --name NAME") from why


def _set_values(facts: object) -> Mapping[str, object]:
    """The values of a dataclass that are set."""
    values = {each.name: getattr(facts, each.name) for each in fields(facts)}  # type: ignore[arg-type]  # a dataclass
    return {each: value for each, value in values.items() if value not in (None, "", ())}


def _write(rows: Mapping[str, LocalModelEntry], home: Path) -> None:
    """Replaces the file atomically: a reader sees the old or the new one."""
    path, text = home / "models.toml", FILE_HEADER + "".join(_lines(name, row) for name, row in rows.items())
    try:
        write_file_atomically(path, text.encode())
    except OSError as why:
        raise ExternalFailure(
            f"{str(path)!r} cannot be written: {why.strerror}",
            "Check the folder and its disk.",
        ) from why


def _lines(name: str, row: LocalModelEntry) -> str:
    text = ""
    for part, values in (
        ("weights", {"sha256": row.weights.sha256, **_set_values(row.weights)}),
        ("facts", _set_values(row.facts)),
        ("sources", row.sources),
    ):
        text += f"\n[{_quoted(name)}.{part}]\n"
        text += "".join(f"{key} = {_quoted(value)}\n" for key, value in values.items())
    return text


def _quoted(value: object) -> str:
    """A TOML value: like JSON, except that DEL must be escaped."""
    plain = sorted(value) if isinstance(value, frozenset) else value
    return json.dumps(plain, ensure_ascii=False).replace("\x7f", "\\u007f")
