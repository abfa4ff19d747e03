"""Items of an eval's data set: inputs with what is expected, one a line as JSON or CSV, each checked. Asks no model."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from sizewise.data_class import DataClass
from sizewise.errors import BadRequest
from sizewise.evals.dataset_files import read_rows
from sizewise.evals.runs.eval_spec import CHECKS, MEASURES, EvalSpecError, ScorerSpec, check_scorer

HINT = "see docs/how-to/evals.md"
PIN = re.compile(r"[0-9a-f]{8,64}")
"""The beginning of a data set's SHA-256, behind an @."""

PlainLine = Annotated[str, Meta(pattern=r"\A[^\x00-\x1f\x7f-\x9f]*\Z")]
"""Text that can be shown as it is: no control character."""


class EvalItem(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """`input`: text, or messages as in a chat request. `cluster`: items of one are not independent; its id by default.
    `weight`: how many items of the traffic it stands for, 1 / its inclusion probability if it was sampled. `tools`:
    definitions that the target may call. `data_class`: of what it holds; the target answers within its limits.
    `context`: sources that the answer may use. `criteria`: of this item, for a judge. `checks`: of this item, for the
    scorer `checks`. `variables`: of the target's prompt.
    """

    id: str
    input: str | list[dict[str, Any]]
    expected: Any = None
    cluster: str = ""
    tags: tuple[str, ...] = ()
    weight: float = 1.0
    tools: list[dict[str, Any]] = []
    data_class: DataClass | None = None
    context: tuple[str, ...] = ()
    criteria: str = ""
    checks: tuple[ScorerSpec, ...] = ()
    variables: dict[str, Any] = {}

    @property
    def digest(self) -> str:
        """SHA-256 of its content in hex, 16 digits."""
        return sha256(msgspec.json.encode(self, order="sorted")).hexdigest()[:16]

    def messages(self) -> Sequence[Mapping[str, object]]:
        if not self.input:
            return []
        return [{"role": "user", "content": self.input}] if isinstance(self.input, str) else self.input

    def question(self) -> str:
        """What a judge sees of the input."""
        if not self.input:
            return msgspec.json.encode(self.variables).decode()
        if isinstance(self.input, str):
            return self.input
        return "\n\n".join(f"{each.get('role', '')}: {each.get('content', '')}" for each in self.input)


class EvalDataset(Struct, frozen=True):
    """`digest`: SHA-256 of the items in hex, independent of the file's spaces and keys' order."""

    items: tuple[EvalItem, ...]
    digest: str

    @property
    def clusters(self) -> int:
        return len({each.cluster for each in self.items})

    @property
    def effective_items(self) -> float:
        """Items of one weight whose mean varies as that of these does (L. Kish 1965)."""
        weights = [each.weight for each in self.items]
        return sum(weights) ** 2 / sum(each * each for each in weights)


class _Row(Struct, forbid_unknown_fields=True):
    """`probability`: with which it was sampled; then its weight is the inverse. `stratum` and `source`: of its
    sampling, not used by a run.
    """

    input: str | list[dict[str, Any]] = ""
    variables: dict[str, Any] = {}
    id: PlainLine | int | UnsetType = UNSET
    expected: Any = None
    cluster: str | int | None = None
    tags: list[str] = []
    weight: float | None = None
    probability: float | None = None
    stratum: str = ""
    source: dict[str, str] = {}
    data_class: DataClass | None = None
    context: str | list[str] = []
    criteria: str = ""
    checks: list[ScorerSpec] = []
    tools: list[dict[str, Any]] = []


def split_pin(data: str) -> tuple[str, str]:
    """The file that an eval names as its data, and the beginning of its SHA-256 that it pins, or nothing."""
    name, _, pin = data.rpartition("@")
    return (name, pin) if name and PIN.fullmatch(pin) else (data, "")


def read_pinned(folder: Path, data: str) -> EvalDataset:
    """`data`: as an eval names it, within its folder. Raises BadRequest, also if it is not the one that is pinned."""
    name, pin = split_pin(data)
    found = read_items(folder / name)
    if not found.digest.startswith(pin):
        hint = f"pin it anew if that is meant: {name}@{found.digest[: len(pin)]}"
        raise BadRequest(f"{str(folder / name)!r} has changed since it was pinned as {pin}", hint)
    return found


def read_items(file: Path) -> EvalDataset:
    """An item without an id is identified by its content. Raises BadRequest, with file and line."""
    if not file.is_file():
        raise BadRequest(f"there is no data file {str(file)!r}", f"write one item a line, as JSON or CSV: {HINT}")
    found: dict[str, EvalItem] = {}
    for number, row in read_rows(file, _Row, HINT):
        where = f"{str(file)!r}, line {number}"
        if not row.input and not row.variables:
            raise BadRequest(f"{where}: the input is empty", "remove the line")
        if row.weight is not None and not 0 < row.weight < float("inf"):
            raise BadRequest(f"{where}: the weight is {row.weight}", "use a number above 0")
        if row.probability is not None and not 0 < row.probability <= 1:
            raise BadRequest(f"{where}: the probability is {row.probability}", "use a number above 0, at most 1")
        _check(row.checks, where)
        one = _item(row)
        if one.id in found:
            raise BadRequest(f"{where}: the id {one.id!r} is repeated", "use a unique id for each item")
        found[one.id] = one
    if not found:
        raise BadRequest(f"{str(file)!r} has no items", f"write one item a line, as JSON or CSV: {HINT}")
    items = tuple(found.values())
    return EvalDataset(items, sha256(b"\n".join(each.digest.encode() for each in items)).hexdigest())


def _check(checks: Sequence[ScorerSpec], where: str) -> None:
    for each in checks:
        if each.kind not in CHECKS:
            raise BadRequest(f"{where}: a check cannot be of the kind {each.kind!r}", f"use {', '.join(CHECKS)}")
        if each.kind in MEASURES and each.at_most is None:
            raise BadRequest(f"{where}: a check of the kind {each.kind!r} needs `at_most`", HINT)
        try:
            check_scorer(each, ("checks",))
        except EvalSpecError as error:
            raise BadRequest(f"{where}: {error.message}", error.hint) from error


def _weight(row: _Row) -> float:
    if row.weight is not None:
        return row.weight
    return 1.0 if row.probability is None else 1 / row.probability


def _item(row: _Row) -> EvalItem:
    identity = [row.input, row.expected, *([row.variables] if row.variables else [])]
    name = sha256(msgspec.json.encode(identity, order="sorted")).hexdigest()[:16]
    id = name if row.id is UNSET else str(row.id)
    return EvalItem(
        id=id,
        input=row.input,
        expected=row.expected,
        cluster=id if row.cluster is None else str(row.cluster),
        tags=tuple(row.tags),
        weight=_weight(row),
        tools=row.tools,
        data_class=row.data_class,
        context=(row.context,) if isinstance(row.context, str) else tuple(row.context),
        criteria=row.criteria.strip(),
        checks=tuple(row.checks),
        variables=row.variables,
    )
