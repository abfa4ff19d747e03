"""The workload that a recommendation is for, parsed from text inputs; knows no model and no price."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType
from typing import Literal

from sizewise.advisor.assumptions import TASKS, parse_decimal
from sizewise.advisor.sourced_number import SourcedNumber, format_number
from sizewise.errors import BadRequest, did_you_mean

GB = 1_000_000_000
LANGUAGE_CODE = re.compile(r"[a-z]{2,3}\Z")
Privacy = Literal["public", "internal", "confidential"]
Team = Literal["none", "some", "ml"]
PRIVACY: tuple[Privacy, ...] = ("public", "internal", "confidential")
TEAMS: tuple[Team, ...] = ("none", "some", "ml")
LANGUAGE_CODES: Mapping[str, str] = MappingProxyType(
    {
        "arabic": "ar", "bengali": "bn", "chinese": "zh", "czech": "cs", "danish": "da", "dutch": "nl", "english": "en",
        "finnish": "fi", "french": "fr", "german": "de", "greek": "el", "hebrew": "he", "hindi": "hi",
        "hungarian": "hu", "indonesian": "id", "italian": "it", "japanese": "ja", "korean": "ko", "norwegian": "no",
        "polish": "pl", "portuguese": "pt", "romanian": "ro", "russian": "ru", "spanish": "es", "swahili": "sw",
        "swedish": "sv", "telugu": "te", "thai": "th", "turkish": "tr", "ukrainian": "uk", "vietnamese": "vi",
    },
)  # fmt: skip
"""Language name -> ISO 639 code, for hints."""

DEFAULTS: Mapping[str, str] = MappingProxyType(
    {
        "task": "chat",
        "languages": "en",
        "requests-per-month": "10000",
        "privacy": "internal",
        "gpu-gb": "0",
        "team": "some",
        "months": "12",
        "labels": "0",
        "images": "0",
        "weeks": "0",
    },
)
"""Defaults of the options. The tokens follow from the task, `context` from them, `memory-gb` from the machine."""


@dataclass(frozen=True, slots=True)
class TypicalLength:
    """Tokens of a typical request and its response, and why so many. `output` None: as many as the input."""

    input: int
    input_reason: str
    output: int | None
    output_reason: str


_PAGE = "one page of 375 words"
TOKENS: Mapping[str, TypicalLength] = MappingProxyType(
    {
        "classify": TypicalLength(
            250, "a message of 150 words, and 50 tokens for the answers to choose from",
            10, "one label of a few words, or a JSON object that holds it",
        ),
        "extract": TypicalLength(500, _PAGE, 100, "ten fields of ten tokens: name, value and the signs around them"),
        "summarize": TypicalLength(500, _PAGE, 125, "one paragraph: five sentences of 25 tokens"),
        "translate": TypicalLength(500, _PAGE, None, "as long as its input"),
        "chat": TypicalLength(500, _PAGE, 200, "two paragraphs: eight sentences of 25 tokens"),
        "code": TypicalLength(500, _PAGE, 400, "one function: forty lines of ten tokens"),
        "reason": TypicalLength(
            500, _PAGE, 200, "two paragraphs; what the model thinks before is counted by the assumption `thought`"
        ),
    },
)  # fmt: skip
"""By task. They are counted out, not measured: 4 tokens are 3 words of English, so a sentence of 25 tokens has 19. The
user's own number replaces each.
"""
LATENCY_MS: Mapping[str, str] = MappingProxyType({"code": "120000", "reason": "120000"})
"""Default by task; 30000 for others. Reasoning models write much before they answer."""

MAXIMUM: Mapping[str, int] = MappingProxyType(
    {
        "requests-per-month": 10**12,
        "tokens-in": 10**8,
        "tokens-out": 10**8,
        "latency-ms": 10**8,
        "context": 10**9,
        "memory-gb": 10**6,
        "gpu-gb": 10**6,
        "months": 1200,
        "labels": 10**9,
        "images": 1000,
        "weeks": 520,
    },
)
MINIMUM: Mapping[str, int] = MappingProxyType(
    {"tokens-in": 1, "tokens-out": 1, "latency-ms": 1, "context": 64, "months": 1},
)


@dataclass(frozen=True, slots=True)
class Workload:
    """`context`: tokens of the longest request with its answer. `latency_s`: limit for the whole answer.

    `memory` and `gpu`: bytes. `memory_is_free`: `memory` was measured as free, so nothing is reserved from it. `today`:
    YYYY-MM-DD. `weeks` until it must answer; 0: no timetable. `explicit_inputs`: names of the inputs that were given.
    """

    task: str
    languages: tuple[str, ...]
    requests: int  # per month
    tokens_in: int
    tokens_out: int
    latency_s: Fraction
    context: int
    privacy: Privacy
    memory: int
    gpu: int
    team: Team
    months: int
    labels: int
    images: int  # per request
    weeks: int
    today: str
    memory_is_free: bool = False
    explicit_inputs: frozenset[str] = frozenset()

    @property
    def horizon_end(self) -> str:
        """The first day after the horizon as YYYY-MM-DD; compares with dates and months as text."""
        year, month, day = (int(part) for part in self.today.split("-"))
        years, months = divmod(month - 1 + self.months, 12)
        return f"{year + years:04}-{months + 1:02}-{day:02}"

    def number(self, name: str) -> SourcedNumber:
        """An input with its source, by the name of its option."""
        if name in self.explicit_inputs:
            return SourcedNumber(name, self._shown(name), "input", f"--{name}")
        if name == "memory-gb":
            return SourcedNumber(name, self._shown(name), "default", "free memory of this machine")
        if name in ("tokens-in", "tokens-out"):
            length = TOKENS[self.task]
            reason = length.input_reason if name == "tokens-in" else length.output_reason
            return SourcedNumber(name, self._shown(name), "default", f"for {self.task}: {reason}")
        if name == "context":
            return SourcedNumber(name, self._shown(name), "default", "twice tokens-in plus tokens-out, at least 2,048")
        return SourcedNumber(name, self._shown(name), "default", f"the default of --{name}")

    def numbers(self, *names: str) -> tuple[SourcedNumber, ...]:
        return tuple(self.number(name) for name in names)

    def all_numbers(self) -> tuple[SourcedNumber, ...]:
        return self.numbers(*_NAMES)

    def _shown(self, name: str) -> str:
        return {
            "task": self.task,
            "languages": ",".join(self.languages),
            "requests-per-month": f"{self.requests:,}",
            "tokens-in": f"{self.tokens_in:,}",
            "tokens-out": f"{self.tokens_out:,}",
            "latency-ms": format_number(self.latency_s * 1000),
            "context": f"{self.context:,}",
            "privacy": self.privacy,
            "memory-gb": format_number(Fraction(self.memory, GB), 1),
            "gpu-gb": format_number(Fraction(self.gpu, GB), 1),
            "team": self.team,
            "months": f"{self.months}",
            "labels": f"{self.labels:,}",
            "images": f"{self.images:,}",
            "weeks": f"{self.weeks:,}" if self.weeks else "any",
        }[name]


_NAMES = (
    "task", "languages", "requests-per-month", "tokens-in", "tokens-out", "latency-ms", "context", "privacy",
    "memory-gb", "gpu-gb", "team", "months", "labels", "images", "weeks",
)  # fmt: skip


def parse_workload(inputs: Mapping[str, str | None], *, today: str, free_memory: int | None) -> Workload:
    """`inputs`: option name -> text, or None if not given. `free_memory`: bytes free on this machine, if known.

    Raises BadRequest with a suggestion or the bounds.
    """
    given = {name: text for name, text in inputs.items() if text is not None}
    for name in given:
        if name not in _NAMES:
            raise BadRequest(
                f"there is no input {name!r}",
                did_you_mean(name, _NAMES) or f"Known: {', '.join(_NAMES)}.",
            )
    task = given.get("task", DEFAULTS["task"])
    texts = {**DEFAULTS, "latency-ms": LATENCY_MS.get(task, "30000"), **given}
    length = TOKENS[_word(texts, "task", tuple(TASKS))]
    tokens_in = _whole({"tokens-in": f"{length.input}", **texts}, "tokens-in")
    tokens_out = _whole({"tokens-out": f"{length.output or tokens_in}", **texts}, "tokens-out")
    context = _whole(texts, "context") if "context" in texts else max(2_048, 2 * (tokens_in + tokens_out))
    if context < tokens_in + tokens_out:
        raise BadRequest(
            f"a context of {context:,} tokens is too small for {tokens_in:,} tokens in and {tokens_out:,} out",
            f"Use --context {tokens_in + tokens_out} or more, or remove it.",
        )
    if "memory-gb" not in texts and free_memory is None:
        raise BadRequest("this machine does not report how much memory is free", "Set it, for example --memory-gb 16.")
    memory = _bytes(texts, "memory-gb") if "memory-gb" in texts else free_memory or 0
    return Workload(
        task=task,
        languages=_languages(texts["languages"]),
        requests=_whole(texts, "requests-per-month"),
        tokens_in=tokens_in,
        tokens_out=tokens_out,
        latency_s=Fraction(_whole(texts, "latency-ms"), 1000),
        context=context,
        privacy=next(each for each in PRIVACY if each == _word(texts, "privacy", PRIVACY)),
        memory=memory,
        gpu=_bytes(texts, "gpu-gb"),
        team=next(each for each in TEAMS if each == _word(texts, "team", TEAMS)),
        months=_whole(texts, "months"),
        labels=_whole(texts, "labels"),
        images=_whole(texts, "images"),
        weeks=_whole(texts, "weeks"),
        today=today,
        memory_is_free="memory-gb" not in texts,
        explicit_inputs=frozenset(given),
    )


def _word(texts: Mapping[str, str], name: str, allowed: tuple[str, ...]) -> str:
    if texts[name] not in allowed:
        near = did_you_mean(texts[name], allowed)
        hint = f"{near} Known: {', '.join(allowed)}." if near else f"Known: {', '.join(allowed)}."
        raise BadRequest(f"{texts[name]!r} is not a valid value of {name}", hint, param=name)
    return texts[name]


def _languages(text: str) -> tuple[str, ...]:
    found = []
    for each in (part.strip().lower() for part in text.split(",")):
        if not LANGUAGE_CODE.match(each):
            near = LANGUAGE_CODES.get(each) or LANGUAGE_CODES.get(
                did_you_mean(each, tuple(LANGUAGE_CODES)).partition("'")[2].partition("'")[0],
            )
            hint = f"Did you mean {near!r}?" if near else "Write ISO 639 codes separated by commas, such as en,de."
            raise BadRequest(f"{each!r} is not a language code", hint, param="languages")
        found.append(each)
    return tuple(dict.fromkeys(found))


def _whole(texts: Mapping[str, str], name: str) -> int:
    number = _bounded(texts, name)
    if number.denominator != 1:
        raise BadRequest(f"{texts[name]!r} is not an integer, as --{name} requires", "Remove the fraction.", param=name)
    return number.numerator


def _bytes(texts: Mapping[str, str], name: str) -> int:
    return round(_bounded(texts, name) * GB)


def _bounded(texts: Mapping[str, str], name: str) -> Fraction:
    number, least, most = parse_decimal(texts[name], f"--{name}"), MINIMUM.get(name, 0), MAXIMUM[name]
    if not least <= number <= most:
        raise BadRequest(f"--{name} cannot be {texts[name]}", f"Use a number from {least} to {most:,}.", param=name)
    return number
