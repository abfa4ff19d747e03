"""Scorers: how good an answer is compared with its reference, 0 or 1, by a rule. Asks no model and reads no file."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Literal, get_args

import msgspec

from sizewise.errors import BadBody, BadRequest
from sizewise.evals.linear_regex import compile_linear
from sizewise.routing.structured_output import OutputSchema, compile_output_schema
from sizewise.routing.text.final_answer import final_answer

ScorerName = Literal["exact", "contains", "regex", "choice", "number", "json", "judge"]
SCORERS: tuple[ScorerName, ...] = get_args(ScorerName)
"""All but `judge` are rules; the scores of `judge` come from a model (outcome_job.py)."""

RELATIVE_TOLERANCE = 1e-6  # of a number, compared with its reference

_NUMBER = re.compile(r"(?<![\w.])[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?")
_FENCED = re.compile(r"\A```\w*\n(.*?)\n?```\Z", re.DOTALL)
_LETTER = re.compile(
    r"[\W_]*(?:(?:the\s+)?(?:correct\s+)?(?:answer|option|choice)(?:\s+is)?[\s:*(]*)?([A-J])(?=[\W_]*\Z|[).:,*\n])",
    re.IGNORECASE,
)
_LISTED = re.compile(r"^[ \t*(]*([A-J])[).:]", re.MULTILINE)


def score_answer(scorer: ScorerName, answer: str, reference: object, schema: OutputSchema | None = None) -> float:
    """1.0 if `answer` is right, else 0.0. With a list as the reference (except for `json`), any entry may match.

    exact: the same text; case, punctuation and spaces do not count. contains: as whole words; case and the width of
    spaces do not count, punctuation does. regex: found anywhere, ignoring case, in linear time. choice: the letter that
    is chosen, A to J. number: the last number of the answer. json: the answer is JSON (a code fence around it is
    allowed) that satisfies `schema` and equals the reference, if there is one. An empty answer is wrong.
    """
    if not answer.strip():
        return 0.0
    if scorer == "json":
        return float(_is_json(answer, reference, schema))
    check = _RULES[scorer]
    return float(any(check(answer, str(each)) for each in references(reference)))


def check_reference(scorer: ScorerName, reference: object, has_schema: bool) -> None:
    """Raises BadRequest if an answer cannot be scored by this reference."""
    known = references(reference)
    if scorer == "judge" or (scorer == "json" and (has_schema or reference is not None)):
        return
    if scorer == "json":
        raise BadRequest("the scorer 'json' needs a `schema` or a `reference`", "add one of them to the prompt")
    if reference is None or not known:
        raise BadRequest(f"the scorer {scorer!r} needs a `reference`", "add the right answer, or use --scorer judge")
    for each in map(str, known):
        if scorer == "regex":
            compile_linear(each)
        elif scorer == "choice" and re.fullmatch("[A-Ja-j]", each.strip()) is None:
            raise BadRequest(f"`reference` is {each!r}, no letter", "use the letter of the right option, A to J")
        elif scorer == "number" and _last_number(each) is None:
            raise BadRequest(f"`reference` is {each!r}, no number", "use a number such as 42 or 3.5")
        elif scorer == "contains" and not each.strip():
            raise BadRequest("`reference` is empty", "use the text that the answer must contain")
        elif scorer == "exact" and not _plain(each):
            raise BadRequest(f"`reference` is {each!r}, which has no letter and no digit", "use the scorer 'regex'")


def compile_schema(schema: Mapping[str, object]) -> OutputSchema:
    """Raises BadRequest for an invalid schema."""
    try:
        return compile_output_schema(dict(schema), "schema")
    except BadBody as error:
        raise BadRequest(error.message, error.hint) from error


def references(reference: object) -> list[object]:
    """The accepted answers: an entry each of a list, else the reference itself."""
    return reference if isinstance(reference, list) else [reference]


def _is_exact(answer: str, reference: str) -> bool:
    return _plain(reference) in (_plain(answer), _plain(final_answer(answer)))


def contains_text(answer: str, text: str, *, is_case_sensitive: bool = False, whole_words: bool = True) -> bool:
    """Accents and the width of spaces do not count. `whole_words`: no word goes on beyond an end of `text`."""
    where, wanted = _folded(answer, is_case_sensitive), _folded(text, is_case_sensitive)
    place = where.find(wanted) if wanted else -1
    while place >= 0:
        end = place + len(wanted)
        if not whole_words or not (_joins(where, place) or _joins(where, end)):
            return True
        place = where.find(wanted, place + 1)
    return False


def _joins(text: str, place: int) -> bool:
    """Whether a word goes on from before `place` to behind it."""
    return 0 < place < len(text) and text[place - 1].isalnum() and text[place].isalnum()


def _folded(text: str, is_case_sensitive: bool) -> str:
    letters = "".join(each for each in unicodedata.normalize("NFKD", text) if not unicodedata.combining(each))
    return " ".join((letters if is_case_sensitive else letters.casefold()).replace("\u2019", "'").split())


def _matches(answer: str, reference: str) -> bool:
    return compile_linear(reference)(answer.strip())


def _chooses(answer: str, reference: str) -> bool:
    """A letter among several listed ones is no choice."""
    if len({letter.upper() for letter in _LISTED.findall(answer)}) > 1:
        return False
    found = _LETTER.match(answer.strip()) or _LETTER.match(final_answer(answer))
    return found is not None and found[1].upper() == reference.strip().upper()


def is_number(answer: str, reference: str, *, relative: float = RELATIVE_TOLERANCE, absolute: float = 0.0) -> bool:
    """Whether its last number is the reference, within the larger of both tolerances."""
    found, wanted = _last_number(final_answer(answer)), _last_number(reference)
    return found is not None and wanted is not None and abs(found - wanted) <= max(absolute, relative * abs(wanted))


def _last_number(text: str) -> float | None:
    """The last, because an answer that reasons or repeats the question ends with its result."""
    numbers = _NUMBER.findall(text)
    return float(numbers[-1].replace(",", "")) if numbers else None


def _is_json(answer: str, reference: object, schema: OutputSchema | None) -> bool:
    fenced = _FENCED.match(answer.strip())
    text = (fenced[1] if fenced else answer).strip()
    try:
        value: object = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
        return False
    return (schema is None or schema.check_text(text) is None) and (reference is None or value == reference)


def _plain(text: str) -> str:
    """Lower case without accents; each run of other characters than letters and digits is one space."""
    letters = "".join(each for each in unicodedata.normalize("NFKD", text) if not unicodedata.combining(each))
    return " ".join(re.sub(r"[\W_]+", " ", re.sub("['\u2019]", "", letters.casefold())).split())


_RULES: Mapping[ScorerName, Callable[[str, str], bool]] = {
    "exact": _is_exact,
    "contains": contains_text,
    "regex": _matches,
    "choice": _chooses,
    "number": is_number,
}
