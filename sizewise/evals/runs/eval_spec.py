"""What an eval file says: target, data, scorers, gate and budget, each checked. Reads no file and asks no model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from hashlib import sha256
from math import isfinite
from typing import Annotated, Any, Literal, TypeVar, get_args

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from sizewise.errors import BadRequest, did_you_mean
from sizewise.evals.linear_regex import compile_linear
from sizewise.evals.scorers import RELATIVE_TOLERANCE, compile_schema, references
from sizewise.money import PICO_PER_DOLLAR

RuleKind = Literal["exact", "contains", "regex", "choice", "number", "json"]
MeasureKind = Literal["cost", "latency", "tokens"]
ModelKind = Literal["judge", "pairwise", "similarity"]
CheckKind = Literal[RuleKind, "tool_calls", "language", "cites", "grounded", MeasureKind]
ScorerKind = Literal[CheckKind, "checks", "plugin", ModelKind]
RULES: tuple[str, ...] = get_args(RuleKind)
CHECKS: tuple[str, ...] = get_args(CheckKind)
"""Kinds that an item's own `checks` may have: they ask no model."""
MODEL_KINDS: tuple[str, ...] = get_args(ModelKind)
MEASURES: tuple[str, ...] = get_args(MeasureKind)
"""Kinds whose value is an amount (dollars, seconds, tokens), not a score in 0..1."""
SCORER_KINDS: tuple[str, ...] = get_args(ScorerKind)
RIGHT_OR_WRONG = (*RULES, "tool_calls", "cites", "checks")
"""Kinds whose score is 1 if the answer is right."""
MAX_REPEATS = 50
MAX_CONCURRENCY = 64

T = TypeVar("T")
Where = tuple[str | int, ...]


class ScorerSpec(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """`expected`: what counts as right, instead of the item's own. `rubric` and `scale`: of a judge, worst first;
    `calibrated`: its errors were measured, and its score may gate. `negate`: 1 - score. `threshold`: of a similarity or
    a grounded share; from there on the score is 1, else 0. `at_most`: of an amount that an item checks.
    """

    kind: ScorerKind
    expected: Any = None
    schema: dict[str, Any] | None = None
    order: Literal["exact", "any", "subset", "in_order"] = "exact"
    arguments: Literal["exact", "ignore"] = "exact"
    relative_tolerance: Annotated[float, Meta(ge=0)] = RELATIVE_TOLERANCE
    absolute_tolerance: Annotated[float, Meta(ge=0)] = 0.0
    case_sensitive: bool = False
    whole_words: bool = True
    all_of: bool = False
    negate: bool = False
    threshold: Annotated[float, Meta(ge=0, le=1)] | None = None
    at_most: Annotated[float, Meta(ge=0)] | None = None
    name: str = ""
    options: dict[str, Any] = {}
    language: str = ""
    model: str = ""
    rubric: str = ""
    scale: tuple[str, ...] = ("no", "yes")
    calibrated: bool = False

    @property
    def is_score(self) -> bool:
        return self.kind not in MEASURES


class GateRule(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One condition of the gate: `not_worse_by` (points of 0..1 against the base), `at_least` (of the head alone),
    `every` (items with one of these tags, each repeat), or `ratio_at_most` (an amount against the base).
    """

    score: str = ""
    not_worse_by: float | None = None
    at_least: float | None = None
    ratio_at_most: float | None = None
    latency: Literal["", "mean", "p50", "p95"] = ""
    every: dict[Literal["tags"], list[str]] | None = None
    sure: float = 0.95

    @property
    def needs_base(self) -> bool:
        return self.not_worse_by is not None or self.ratio_at_most is not None


class EvalBudget(Struct, frozen=True, forbid_unknown_fields=True):
    """Limits of one run; None: no limit, in a file also `none`."""

    usd: Decimal | None = None
    minutes: float | None = None
    concurrency: int = 1

    @property
    def pico_dollars(self) -> int | None:
        return None if self.usd is None else int(self.usd * PICO_PER_DOLLAR)


class EvalTarget(Struct, frozen=True, forbid_unknown_fields=True):
    """What answers: one of a model (also `auto` and `auto:POLICY`) or a flow. `prompt`: id of a prompt file, in front
    of each item's input; its `variables` are those of the items and these.
    """

    model: str = ""
    flow: str = ""
    prompt: str = ""
    variables: dict[str, Any] = {}
    system: str = ""
    max_tokens: int = 512
    temperature: float = 0.0

    @property
    def name(self) -> str:
        return f"flow:{self.flow}" if self.flow else self.model


class EvalSpec(Struct, frozen=True, kw_only=True):
    """`data`: path of the items, from the eval file's folder."""

    target: EvalTarget
    data: str
    scorers: Mapping[str, ScorerSpec]
    repeat: int = 1
    gate: tuple[GateRule, ...] = ()
    budget: EvalBudget = EvalBudget()

    @property
    def scoring_digest(self) -> str:
        """SHA-256 of what decides the scores, in hex: runs with the same one can be compared."""
        scorers = {name: replace(each, calibrated=False) for name, each in self.scorers.items()}
        return sha256(msgspec.json.encode([scorers, self.repeat], order="sorted")).hexdigest()


class EvalSpecError(BadRequest):
    """`where`: the path of the value in the file."""

    def __init__(self, message: str, hint: str, where: Where) -> None:
        super().__init__(message, hint)
        self.where = where


NO_LIMIT, AMOUNTS = "none", ("usd", "minutes")
"""The word for no limit, and the limits of a budget that can have it."""
FIELDS = ("target", "data", "scorers", "repeat", "gate", "budget", "description")


def build_spec(data: object) -> EvalSpec:
    """From a parsed eval file. Raises EvalSpecError."""
    if not isinstance(data, dict):
        raise EvalSpecError("an eval is a mapping", "sizewise eval new NAME shows one", ())
    for name in data:
        if name not in FIELDS:
            hint = did_you_mean(str(name), list(FIELDS)) or f"known: {', '.join(FIELDS)}"
            raise EvalSpecError(f"there is no field {name!r}", hint, (name,))
    for name in ("target", "data", "scorers"):
        if not data.get(name):
            raise EvalSpecError(f"the field `{name}` is missing", "sizewise eval new NAME shows a whole file", ())
    scorers = _mapping(data, "scorers", _scorer)
    rules = data.get("gate", [])
    if not isinstance(rules, list):
        raise EvalSpecError("`gate` is a list of rules", "begin each with a dash", ("gate",))
    return EvalSpec(
        target=_target(data["target"]),
        data=_convert(data["data"], str, ("data",)),
        scorers=scorers,
        repeat=_between(data.get("repeat", 1), 1, MAX_REPEATS, ("repeat",)),
        gate=tuple(_rule(each, scorers, ("gate", place)) for place, each in enumerate(rules)),
        budget=_budget(data.get("budget", {})),
    )


def _convert(value: object, shape: type[T], where: Where) -> T:
    try:
        return msgspec.convert(value, shape, strict=False)
    except msgspec.ValidationError as error:
        said, hint = str(error).partition(" - at `$")[0], "see docs/how-to/evals.md"
        if "unknown field" in said:
            hint = f"known: {', '.join(getattr(shape, '__struct_encode_fields__', ()))}"
        raise EvalSpecError(f"{'.'.join(map(str, where))}: {said}", hint, where) from error


def _mapping(data: Mapping[str, Any], name: str, build: Callable[[object, Where], T]) -> dict[str, T]:
    if not isinstance(data[name], dict):
        raise EvalSpecError(f"`{name}` is a mapping of names", "such as right: {kind: exact}", (name,))
    return {str(key): build(each, (name, key)) for key, each in data[name].items()}


def _target(value: object) -> EvalTarget:
    target = _convert({"model": value} if isinstance(value, str) else value, EvalTarget, ("target",))
    if target.prompt and not target.model:
        target = replace(target, model="auto")
    if target.variables and not target.prompt:
        raise EvalSpecError("`variables` of a target need its `prompt`", "such as prompt: answer", ("target",))
    if bool(target.model) == bool(target.flow):
        raise EvalSpecError("`target` names one model or one flow", "such as {model: auto}", ("target",))
    return target


def _scorer(value: object, where: Where) -> ScorerSpec:
    kind = value.get("kind") if isinstance(value, dict) else value
    if kind not in SCORER_KINDS:
        hint = did_you_mean(str(kind), list(SCORER_KINDS)) or f"known: {', '.join(SCORER_KINDS)}"
        raise EvalSpecError(f"{where[-1]!r}: there is no kind {kind!r} of scorer", hint, where)
    spec = _convert({"kind": value} if isinstance(value, str) else value, ScorerSpec, where)
    if spec.at_most is not None:
        raise EvalSpecError("`at_most` is of the checks of an item", "use a rule of the gate: ratio_at_most", where)
    if spec.kind == "pairwise" and not spec.model:
        raise EvalSpecError(f"the judge {where[-1]!r} needs `model`", "add it", where)
    if spec.kind == "plugin" and not spec.name:
        raise EvalSpecError("the scorer `plugin` needs a `name`", "of an entry point in sizewise.scorers", where)
    check_scorer(spec, where)
    return spec


def check_scorer(spec: ScorerSpec, where: Where) -> None:
    """Raises EvalSpecError for what an answer cannot be scored by, whatever the item."""
    if spec.kind == "judge" and not (spec.model and spec.rubric):
        raise EvalSpecError(f"the judge {where[-1]!r} needs `model` and `rubric`", "add them", where)
    if spec.kind == "judge" and len({each.casefold() for each in spec.scale}) < max(2, len(spec.scale)):
        raise EvalSpecError("`scale` has two or more different words", "such as [no, yes], worst first", where)
    for pattern in references(spec.expected) if spec.kind == "regex" and spec.expected is not None else ():
        try:
            compile_linear(str(pattern))
        except BadRequest as error:
            raise EvalSpecError(f"`expected`: {error.message}", error.hint, where) from error
    if spec.kind == "language" and not spec.language:
        raise EvalSpecError("the scorer `language` needs a language", "such as language: en", where)
    if spec.schema is not None:
        try:
            compile_schema(spec.schema)
        except BadRequest as error:
            raise EvalSpecError(error.message, error.hint, where) from error


def _rule(value: object, scorers: Mapping[str, ScorerSpec], where: Where) -> GateRule:
    rule = _convert(value, GateRule, where)
    kinds = [rule.not_worse_by, rule.at_least, rule.ratio_at_most, rule.every]
    if sum(each is not None for each in kinds) != 1:
        hint = "use one of not_worse_by, at_least, ratio_at_most, every"
        raise EvalSpecError("a rule has one condition", hint, where)
    if not 0.5 < rule.sure < 1:
        raise EvalSpecError(f"`sure` is {rule.sure}", "use a fraction above 0.5, such as 0.95", where)
    if any(isinstance(each, float) and not (isfinite(each) and each >= 0) for each in kinds):
        raise EvalSpecError("a limit is a number from 0 on", "see docs/how-to/evals.md", where)
    if (rule.at_least or 0) > 1 or (rule.not_worse_by or 0) >= 1:
        raise EvalSpecError("a score is 0 to 1, and so is its limit", "3 points are 0.03, and 90 % is 0.9", where)
    if rule.every is not None and not rule.every.get("tags"):
        raise EvalSpecError("`every` needs tags", "such as every: {tags: [must]}", where)
    if rule.latency:
        if rule.ratio_at_most is None or rule.score:
            raise EvalSpecError("`latency` needs `ratio_at_most`, and no `score`", "such as 1.25", where)
        return rule
    if rule.every is not None and not rule.score:
        return rule
    spec = scorers.get(rule.score)
    if spec is None:
        hint = did_you_mean(rule.score, list(scorers)) or f"known: {', '.join(scorers)}"
        raise EvalSpecError(f"there is no scorer {rule.score!r}", hint, where)
    if spec.kind == "pairwise":
        raise EvalSpecError(
            f"{rule.score!r} is a judge's preference: it informs, and cannot gate", "use `judge`", where
        )
    if spec.kind == "judge" and not spec.calibrated:
        hint = "measure its errors: sizewise eval calibrate-judge; then add `calibrated: true`"
        raise EvalSpecError(f"the judge {rule.score!r} is not calibrated: it informs, and cannot gate", hint, where)
    if spec.is_score == (rule.ratio_at_most is not None):
        want = "not_worse_by or at_least" if spec.is_score else "ratio_at_most"
        raise EvalSpecError(f"a rule on {rule.score!r} uses {want}", "change the rule", where)
    return rule


def _budget(value: object) -> EvalBudget:
    if isinstance(value, dict):
        value = {name: None if amount == NO_LIMIT and name in AMOUNTS else amount for name, amount in value.items()}
    budget = _convert(value, EvalBudget, ("budget",))
    _between(budget.concurrency, 1, MAX_CONCURRENCY, ("budget", "concurrency"))
    is_amount = budget.usd is None or (budget.usd.is_finite() and 0 <= budget.usd <= 10**9)
    if not is_amount or (budget.minutes is not None and not budget.minutes >= 0):
        raise EvalSpecError(
            "a budget is a number from 0 on, or none", "such as {usd: 2.00, minutes: none}", ("budget",)
        )
    return budget


def _between(value: object, low: int, high: int, where: Where) -> int:
    number = _convert(value, int, where)
    if not low <= number <= high:
        raise EvalSpecError(f"`{where[-1]}` is {number}", f"use {low} to {high}", where)
    return number
