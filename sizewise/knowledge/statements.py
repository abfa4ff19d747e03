"""Sentences, and what one states: its content words, its names, its numbers with what they count, and what it denies.
Pure, and by words alone: made for European languages, and weaker for those without spaces.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from sizewise.routing.text.prompt_features import STOP_WORDS

PREFIX = 6
"""Words are compared by their stems' first characters: `deliveries` and `delivered` are one."""
UNIT_REACH = 3
"""Words after a number among which is what it counts: `45 calendar days`."""

_WORDS: Mapping[str, str] = {
    "abbreviation": "e.g i.e etc no nr vs ca approx dr mr mrs ms prof st fig p pp z.b bzw usw inkl max min",
    "general": """
        a about after again all also am an and any are as at be because been being between both by can could did
        do does doing done down during each else ever every few for from further get gets getting give given go
        goes got had has have having he her here hers him his how however i if in into is it its itself just
        keep kept like long made make makes many may me might mine more most much must my need needs of off on
        once one only onto or other our ours out over own per please possible put say says see shall she should
        since so some such take takes tell than thank that the their them then there these they this those
        through to too under until up upon us use used using very want was we were what when where whether which
        while who whom whose why will wish with within would yes yet you your yours hi hello know kind let
        customer people according provided passage passages document documents answer question information
        mentioned stated following based often soon far time""",
    "denial": """
        not no never none neither nor cannot can't don't doesn't didn't isn't aren't wasn't weren't won't wouldn't
        shouldn't couldn't hasn't haven't hadn't mustn't without nobody nothing nowhere except excluding unless nicht
        kein keine keinen keiner keines keinem nie niemals ohne ausser ne pas jamais aucun aucune sans sauf nunca sin
        ningun ninguna ninguno salvo nessun nessuno nessuna senza mai niet geen zonder""",
    "without": "without except excluding unless ohne ausser sans sauf salvo senza zonder",
    "reply": "yes no yeah yep nope ja nein oui non si",
    "number": "two three four five six seven eight nine ten eleven twelve",
}
_ABBREVIATIONS = frozenset(_WORDS["abbreviation"].split())
_DENIALS = frozenset(_WORDS["denial"].split())
_WITHOUT = frozenset(_WORDS["without"].split())
"""They deny what stands behind them, up to a verb; `not` denies its whole clause."""
_REPLIES = frozenset(_WORDS["reply"].split())
_NUMBERS: Mapping[str, str] = {word: str(number) for number, word in enumerate(_WORDS["number"].split(), 2)} | {
    "twenty": "20",
    "thirty": "30",
    "sixty": "60",
    "ninety": "90",
    "twice": "2",
}
_LIGHT = frozenset(_WORDS["general"].split()) | frozenset(STOP_WORDS) | _DENIALS | _REPLIES | frozenset(_NUMBERS)
"""Words that say little by themselves."""
_SYMBOLS: Mapping[str, str] = {"€": " euro ", "$": " dollar ", "£": " pound ", "%": " percent ", "°": " degree "}
_CURRENCIES = ("euro", "dollar", "pound")
_MEASURED: Mapping[str, str] = {
    "cost costs price pay charge charges fee": "euro dollar pound cent",
    "temperature": "degree degrees",
    "weigh weighs weight heavy": "kg kilogram gram tonne",
    "distance length": "km kilometre kilometer metre meter cm mm",
}
"""Words that a number with one of these units says without them: "it is 5 euros" is what something costs."""

_NUMBERED = r"\[\d{1,4}(?:, ?\d{1,4}){0,20}\]"
_CITATION = re.compile(rf"(?<!\s)\s*{_NUMBERED}")  # a run of spaces is read once
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_TOKEN = re.compile(r"\d+(?:[.,:]\d+)*|[^\W\d_]+")
_THOUSANDS = re.compile(r"\d{1,3}(?:[.,]\d{3})+")
_CLAUSE = re.compile(
    r"[,;:()–—]|(?<=[.!?])\s|\s-\s|\b(?:but|although|though|while|whereas|aber|sondern|mais|pero|ma)\b"
    rf"|(?=\b(?:{'|'.join(sorted(_WITHOUT))})\b)",
    re.IGNORECASE,
)
_VERB = re.compile(
    r"(?=\b(?:is|are|was|were|will|can|cannot|may|must|has|have|ist|sind|kann|est|sont|es|son)\b)", re.IGNORECASE
)
_PART = re.compile(r"[,;:()–—|]|\s-\s|(?<=[.!?])\s|\b(?:and|or|but|und|oder|et|ou|y|o|e)\b", re.IGNORECASE)
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_END = re.compile(rf"""(?<=[.!?])["'”’)\]]*(?:\s*{_NUMBERED})*\s+(?=["'“‘(\[*]*[^\W_a-z])|(?<=[。！？])\n*|\n+""")
_FIRST_NUMBER = re.compile(rf"\d|\b(?:{'|'.join(_NUMBERS)})\b", re.IGNORECASE)


class Quantity(Struct, frozen=True):
    """A number in plain digits, with the stems that stand near enough to be what it counts. `unit`: the nearest."""

    number: str
    units: frozenset[str]
    unit: str = ""


def counts(quantities: Iterable[Quantity], wanted: Quantity) -> bool:
    """Whether one of them is the number, of the same thing where both say of what."""
    here = [each.units for each in quantities if each.number == wanted.number]
    return any(not units or not wanted.units or units & wanted.units for units in here)


class Statement(Struct, frozen=True):
    """`words`: stems of its content words. `names`: of those written as names. `affirmed`, `denied`: stems by the
    clause that they stand in, so a stem can be in both.
    """

    words: frozenset[str]
    names: frozenset[str]
    quantities: tuple[Quantity, ...]
    affirmed: frozenset[str]
    denied: frozenset[str]
    denies: bool = False
    """It has a word such as `not`, also with nothing beside it."""

    @property
    def implied(self) -> frozenset[str]:
        """Stems of what its numbers measure."""
        units = {unit for each in self.quantities for unit in each.units}
        found = {stem for measured, by in _IMPLIED if by & units for stem in measured}
        return frozenset(found | _OPENING if any(":" in each.number for each in self.quantities) else found)

    @property
    def terms(self) -> frozenset[str]:
        """Words and numbers."""
        return self.words | {each.number for each in self.quantities}

    def contradicts(self, other: Statement) -> bool:
        """Whether one denies what the other affirms."""
        return bool(
            (self.affirmed - self.denied) & (other.denied - other.affirmed)
            or (self.denied - self.affirmed) & (other.affirmed - other.denied)
        )

    def completed_by(self, question: Statement) -> Statement:
        """A short answer with the words of its question: what "45 days" states."""
        return Statement(
            words=self.words | question.words,
            names=self.names | question.names,
            quantities=self.quantities + question.quantities,
            affirmed=self.affirmed | (question.denied if self.denies else question.affirmed),
            denied=self.denied | (question.affirmed if self.denies else question.denied),
            denies=self.denies,
        )


def split_sentences(text: str) -> list[str]:
    """Sentences and lines with the white space behind them, so that joined they are `text`. Citations belong to the
    sentence before them.
    """
    found, begin = list[str](), 0
    for match in _END.finditer(text):
        before = text[begin : match.start()].rsplit(maxsplit=1)[-1:]
        word = before[0].strip("(\"'").rstrip(".").casefold() if before else ""
        is_short = word in _ABBREVIATIONS or (len(word) == 1 and word.isalpha())
        if is_short and match.group() and "\n" not in match.group():
            continue
        found.append(text[begin : match.end()])
        begin = match.end()
    if begin < len(text):
        found.append(text[begin:])
    return found


def strip_citations(text: str) -> str:
    """`text` without numbers in brackets, as in [1] and [2, 3]."""
    return _CITATION.sub("", text)


def is_reply_word(text: str) -> bool:
    """Whether a sentence begins with a plain yes or no."""
    return (_WORD.findall(text.casefold()) or [""])[0] in _REPLIES


def content_words(text: str) -> frozenset[str]:
    return frozenset(stem for word in _words(text) if (stem := _content(word)))


def read_statement(text: str, *, question: bool = False) -> Statement:
    """`question`: of one, which does not deny: "Is it not covered?" asks the same as "Is it covered?"."""
    for symbol, word in _SYMBOLS.items():
        text = text.replace(symbol, word)
    affirmed, denied, any_denies = set[str](), set[str](), False
    for clause in _clauses(text):
        words = _words(clause)
        stems = {stem for word in words if (stem := _content(word))}
        denies = any(word in (_WITHOUT if question else _DENIALS) for word in words)
        (denied if denies else affirmed).update(stems)
        any_denies = any_denies or denies
    return Statement(
        words=frozenset(affirmed | denied),
        names=frozenset(_names(text)),
        quantities=tuple(_quantities(text)),
        affirmed=frozenset(affirmed),
        denied=frozenset(denied),
        denies=any_denies,
    )


def _clauses(text: str) -> Iterator[str]:
    """What "without" denies ends before the verb: "the limit without approval is 5" has three clauses."""
    for clause in _CLAUSE.split(text):
        first = _WORD.match(clause)
        yield from _VERB.split(clause, 1) if first and _plain(first[0]) in _WITHOUT - {"unless"} else (clause,)


class NumberedPart(Struct, frozen=True):
    """A part of a sentence with one of its numbers. `before`, `behind`: its words and numbers on either side of it."""

    quantities: tuple[Quantity, ...]
    before: frozenset[str]
    behind: frozenset[str]

    @property
    def units(self) -> frozenset[str]:
        return frozenset(each.unit for each in self.quantities)

    @property
    def qualifies(self) -> bool:
        """Whether it says behind the number of what: "3 years for desk lamps", and not "desk lamps 3 years"."""
        return bool(self.behind - self.units - {each.number for each in self.quantities})


def read_parts(text: str) -> list[NumberedPart]:
    """Of a sentence with more than one number: cut at commas and at `and`, so that each has a number.

    What stands between two numbers and has none belongs to the first in "3 kg for one and another and 5 kg for others",
    else to the second.
    """
    parts, loose = list[NumberedPart](), frozenset[str]()
    for piece in _PART.split(text):
        number = _FIRST_NUMBER.search(piece)
        statement = read_statement(piece)
        if number is None or not statement.quantities:
            loose |= statement.words
            continue
        before, behind = read_statement(piece[: number.start()]).words, read_statement(piece[number.start() :]).terms
        part = NumberedPart(statement.quantities, before, behind)
        if loose and parts and parts[-1].qualifies and part.qualifies:
            parts[-1] = replace(parts[-1], behind=parts[-1].behind | loose)
        else:
            part = replace(part, before=before | loose)
        parts.append(part)
        loose = frozenset()
    return parts if len(parts) > 1 else []


def table_cells(lines: Sequence[str], at: int) -> list[tuple[str, str]]:
    """If line `at` is a row of a Markdown table below a head: each cell behind the first, with the row's first cell and
    the column's head; and the heads of the other columns. Empty for other lines.
    """
    if not lines[at].startswith("|"):
        return []
    first = at
    while first and lines[first - 1].startswith("|"):
        first -= 1
    heads, row = _cells(lines[first]), _cells(lines[at])
    if at == first or len(heads) != len(row) or not any(each.strip("-: ") for each in row):
        return []
    return [
        (f"{heads[0]} {row[0]}: {heads[column]} {row[column]}", " ".join(heads[1:column] + heads[column + 1 :]))
        for column in range(1, len(row))
    ]


def _cells(row: str) -> list[str]:
    return [each.strip() for each in row.strip().strip("|").split("|")]


def _plain(text: str) -> str:
    if text.isascii():
        return text.casefold()
    apart = unicodedata.normalize("NFKD", text.replace("’", "'"))
    return unicodedata.normalize("NFC", "".join(each for each in apart if not unicodedata.combining(each))).casefold()


def _words(text: str) -> list[str]:
    found = list[str]()
    for word in _WORD.findall(_plain(text)):
        if _UNSPACED.search(word):
            found += [word[at : at + 2] for at in range(max(1, len(word) - 1))]
        else:
            found.append(word)
    return found


def _content(word: str) -> str:
    """The stem of a content word; empty for others."""
    if word in _LIGHT or word[0].isdigit():
        return ""
    word = word.partition("'")[0]
    return "" if len(word) < 2 or word in _LIGHT else _stem(word)


def _stem(word: str) -> str:
    if not word.isascii() and _UNSPACED.search(word):
        return word
    for end in ("ings", "ing", "edly", "ied", "ies", "ed", "es", "s"):
        if word.endswith(end) and len(word) - len(end) >= 3 and not word.endswith("ss"):
            word = word[: -len(end)]
            break
    if len(word) > 3 and word[-1] == word[-2]:
        word = word[:-1]
    if len(word) > 3 and word[-1] in "ey":
        word = word[:-1]
    return word[:PREFIX]


def _names(text: str) -> Iterator[str]:
    """Words with a capital within a sentence; none where so many have one that it is the language's custom."""
    found, others = list[str](), 0
    for sentence in split_sentences(text):
        words = _WORD.findall(sentence)
        for at, word in enumerate(words):
            is_name = any(each.isupper() for each in word[1:]) or (at > 0 and word[0].isupper())
            if any(each.isdigit() for each in word) and any(each.isalpha() for each in word):
                is_name = is_name or word[0].isalpha()
            if is_name and (stem := _content(_plain(word))):
                found.append(stem)
            elif at:
                others += 1
    return iter(found if len(found) <= max(2, others // 2) else ())


def _quantities(text: str) -> Iterator[Quantity]:
    tokens = _TOKEN.findall(_plain(text))
    for at, token in enumerate(tokens):
        number = _NUMBERS.get(token, token if token[0].isdigit() else "")
        if number:
            before = [word for word in tokens[max(0, at - 1) : at] if word in _CURRENCIES]
            near = (*before, *tokens[at + 1 : at + 1 + UNIT_REACH])
            units = [stem for word in near if (stem := _content(word))]
            yield Quantity(_digits(number), frozenset(units), units[0] if units else "")


def _digits(number: str) -> str:
    """1,200 and 1.200 are 1200; 4.50 and 4,5 are 4.5; 09:00 is 9:00."""
    if ":" in number:
        return number.lstrip("0") or "0"
    if _THOUSANDS.fullmatch(number):
        return number.replace(",", "").replace(".", "")
    whole, _, part = number.replace(",", ".").partition(".")
    part = part.rstrip("0")
    return f"{int(whole)}.{part}" if part else str(int(whole))


_IMPLIED: Sequence[tuple[frozenset[str], frozenset[str]]] = tuple(
    (content_words(measured), content_words(units)) for measured, units in _MEASURED.items()
)
_OPENING: frozenset[str] = content_words("open opened opening hours")
