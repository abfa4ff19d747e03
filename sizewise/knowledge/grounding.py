"""Grounding by words: does a passage speak of a question, and which sentence of it holds a claim. Calls no model.

A claim is a sentence of an answer. A passage holds it if one or two of its sentences have most of the claim's words,
each of its numbers with what is counted, and each of its names, and deny what it denies and nothing else. So invented
facts are found, and "30 days" for "45 days". Not found is a wrong conclusion from the right words; not accepted is a
right answer in other words, or in another language, than the passage.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct
from msgspec.structs import replace

from sizewise.knowledge.statements import (
    NumberedPart,
    Quantity,
    Statement,
    content_words,
    counts,
    is_reply_word,
    read_parts,
    read_statement,
    split_sentences,
    strip_citations,
    table_cells,
)

MIN_SUPPORT = 0.6
"""Share of a claim's content words that its source has."""
MIN_COVERAGE = 0.5
"""Share of a question's content words that a passage has which speaks of it."""
MIN_ADDRESSED = 0.6
"""Share of a question's content words that what holds an answer has, by `addresses`."""
MIN_WORDS = 3
"""Content words of a sentence that states something by itself; a shorter one is read with the question's words."""
MARK = "(no source)"


class Evidence(Struct, frozen=True):
    """A passage as claims are compared with it. `where`: its citation, such as `faq.md, Returns`."""

    text: str
    title: str = ""
    source: str = ""
    where: str = ""
    page: int = 0
    headings: tuple[str, ...] = ()
    id: str = ""

    @property
    def context(self) -> str:
        """What its sentences are about without saying so."""
        return " ".join((self.title, *self.headings))


class Source(Struct, frozen=True):
    """What an answer cites as `[number]`. `quote`: the words of the passage that hold its claims, with … between."""

    number: int
    title: str
    source: str
    cited: str
    page: int
    passage: str
    quote: str


class Claim(Struct, frozen=True):
    """A sentence of an answer, without its citations. `passage`: index of the one that holds it; None: none does.

    `states`: it says something that could be false; "Here is what I found:" does not.
    """

    text: str
    states: bool
    gap: str = ""
    """White space behind it."""
    passage: int | None = None
    quote: str = ""
    about: str = ""
    """Title and headings of the passage."""
    near: str = ""
    """The sentences beside the quote."""


class Grounding(Struct, frozen=True):
    """`claims` in the order of the text; `share`: of those that state something, the held ones, 1 if there are none."""

    claims: tuple[Claim, ...]
    share: float

    @property
    def unsupported(self) -> list[str]:
        return [each.text for each in self.claims if each.states and each.passage is None]

    @property
    def supported(self) -> list[Claim]:
        return [each for each in self.claims if each.passage is not None]


def coverage(question: str, passages: Sequence[Evidence]) -> float:
    """Share of the question's content words that the best passage has, 0..1. Names and numbers count twice."""
    return max((_covered(question, f"{each.context} {each.text}") for each in passages), default=0.0)


def addresses(question: str, grounding: Grounding) -> float:
    """Share of the question's content words in what holds the claims, 0..1; those of the sentences beside it count a
    third. A true sentence about something else has a low one.
    """
    quotes = " ".join(f"{each.about} {each.quote}" for each in grounding.supported)
    near = " ".join(each.near for each in grounding.supported)
    return (2 * _covered(question, quotes) + _covered(question, f"{quotes} {near}")) / 3 if quotes else 0.0


def _covered(question: str, text: str) -> float:
    asked, found = read_statement(question, question=True), read_statement(text)
    weight = {each: 2.0 if each in asked.names or each[0].isdigit() else 1.0 for each in asked.terms}
    has = found.terms | found.implied
    return sum(weight[each] for each in asked.terms & has) / sum(weight.values()) if weight else 0.0


def check_grounding(text: str, passages: Sequence[Evidence], question: str = "") -> Grounding:
    """Which passage holds which sentence of `text`. `question`: completes short sentences, such as "45 days."."""
    windows = [list(_windows(each)) for each in passages]
    asked = read_statement(question, question=True)
    claims = [_check(each, windows, asked) for each in split_sentences(text)]
    stated = [each for each in claims if each.states]
    share = sum(each.passage is not None for each in stated) / len(stated) if stated else 1.0
    return Grounding(tuple(claims), share)


class _Window(Struct, frozen=True):
    """One or two sentences of a passage, or a cell of a table. `about`: content words of its title and headings.

    `parts`: of a sentence with several numbers, what stands around each. `elsewhere`: words of what the passage denies,
    or of other columns: a claim with one of them that the window lacks is about something else.
    """

    quote: str
    statement: Statement
    about: frozenset[str]
    title: str
    near: str
    parts: Sequence[NumberedPart]
    elsewhere: frozenset[str]


def _windows(passage: Evidence) -> Iterator[_Window]:
    sentences = [each.strip() for each in split_sentences(passage.text) if each.strip()]
    about, whole = content_words(passage.context), read_statement(passage.text)
    denied = whole.denied - whole.affirmed
    for at, sentence in enumerate(sentences):
        near, title = " ".join(sentences[max(0, at - 1) : at + 2]), passage.context
        cells = table_cells(sentences, at)
        for cell, others in cells:
            statement, elsewhere = read_statement(cell), content_words(others)
            yield _Window(sentence, statement, about, title=title, near=near, parts=(), elsewhere=elsewhere)
        for quote in () if cells else (sentence, f"{sentence} {' '.join(sentences[at + 1 : at + 2])}".rstrip()):
            statement, parts = read_statement(quote), read_parts(quote)
            yield _Window(quote, statement, about, title=title, near=near, parts=parts, elsewhere=denied)


def _check(sentence: str, windows: Sequence[Sequence[_Window]], asked: Statement) -> Claim:
    text, gap = strip_citations(sentence).strip(), sentence[len(sentence.rstrip()) :]
    said = read_statement(text)
    states = len(said.words) >= MIN_WORDS or bool(said.quantities) or bool(said.names)
    if not states and text.endswith(":"):
        return Claim(text, False, gap)
    if len(said.words) < MIN_WORDS and (states or is_reply_word(text) or said.words):
        said, states = said.completed_by(asked), True
    if not states:
        return Claim(text, False, gap)
    best: tuple[int, _Window] | None = None
    share = 0.0
    for at, sentences in enumerate(windows):
        for each in sentences:
            found = _support(said, asked, each)
            is_shorter = best is not None and found == share and len(each.quote) < len(best[1].quote)
            if found > share or is_shorter:
                best, share = (at, each), found
    if best is None or share < MIN_SUPPORT:
        return Claim(text, True, gap)
    at, window = best
    return Claim(text, True, gap, at, quote=window.quote, about=window.title, near=window.near)


def _support(claim: Statement, asked: Statement, window: _Window) -> float:
    """Share of the claim's words that the window has; 0 if it lacks a number, a name or what the claim took from the
    question, or denies something else.
    """
    has = window.statement
    about = has.words | window.about | has.implied
    missing = claim.words - about
    if not claim.names <= about or not all(counts(has.quantities, each) for each in claim.quantities):
        return 0.0
    if missing & asked.words or claim.contradicts(has) or missing & claim.affirmed & window.elsewhere:
        return 0.0
    if not all(_is_of_part(each, claim, window.parts) for each in claim.quantities):
        return 0.0
    return len(claim.words & about) / len(claim.words) if claim.words else 1.0


def _is_of_part(wanted: Quantity, claim: Statement, parts: Sequence[NumberedPart]) -> bool:
    """False if the number belongs to something else in its sentence: "3 years for desk lamps and 5 for floor lamps"."""
    own = [each for each in parts if counts(each.quantities, wanted)]
    others = [each for each in parts if not counts(each.quantities, wanted)]
    return not own or not others or any(_is_about(each, claim, others, parts[0]) for each in own)


def _is_about(part: NumberedPart, claim: Statement, others: Sequence[NumberedPart], first: NumberedPart) -> bool:
    """What the part alone has before its number is in the claim, and the claim has nothing from around another number
    in place of what stands around this one. What stands before the `first` number may be meant of all.
    """
    subject = part.before.difference(*(each.before for each in others))
    if subject and not subject & claim.words:
        return False
    terms = part.before | part.behind
    units = part.units.union(*(each.units for each in others))
    if part.before - claim.terms and any(claim.terms & each.before - terms for each in others if each is not first):
        return False
    return not part.behind - claim.terms - units or not any(claim.terms & each.behind - terms for each in others)


def cite(grounding: Grounding, passages: Sequence[Evidence], *, mark: bool) -> tuple[str, list[Source]]:
    """The answer with `[n]` behind each held claim, and what `n` is. A claim that no passage holds is left out, or kept
    with `MARK` behind it if `mark`. Empty if no claim is held.
    """
    numbers: dict[int, Source] = {}
    if not grounding.supported:
        return "", []
    parts = list[str]()
    for claim in grounding.claims:
        if claim.passage is None:
            if claim.text and (mark or not claim.states):
                parts += (f"{claim.text} {MARK}" if claim.states else claim.text, claim.gap or " ")
            continue
        numbers[claim.passage] = _source(claim, passages[claim.passage], numbers.get(claim.passage), len(numbers) + 1)
        parts += (_numbered(claim.text, numbers[claim.passage].number), claim.gap or " ")
    return "".join(parts).strip(), list(numbers.values())


def _source(claim: Claim, passage: Evidence, before: Source | None, number: int) -> Source:
    """`before`: what another claim made of the same passage, whose quote is kept."""
    if before is not None:
        quoted = claim.quote in before.quote
        return before if quoted else replace(before, quote=f"{before.quote} … {claim.quote}")
    return Source(
        number=number,
        title=passage.title,
        source=passage.source,
        cited=passage.where or passage.title or passage.source,
        page=passage.page,
        passage=passage.id,
        quote=claim.quote,
    )


def _numbered(text: str, number: int) -> str:
    bare = text.rstrip()
    end = bare[len(bare.rstrip(".!?。！？")) :]
    return f"{bare[: len(bare) - len(end)]} [{number}]{end}"
