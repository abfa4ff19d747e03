"""PII guard: finds personal data by format and checksum, such as numbers, addresses and dates. Finds no names.

Kinds: EMAIL, PHONE, CARD, IBAN, IP, MAC, CRYPTO (Bitcoin, Ethereum), NATIONAL_ID, and, only after a keyword, PASSPORT,
LICENSE, ACCOUNT and BIRTH.

National numbers, with their checksums: Australia (TFN, Medicare), Belgium, Brazil (CPF), Canada (SIN), China, Denmark,
Finland, France (NIR), Germany (Steuer-ID), India (Aadhaar, PAN), Israel, Italy, the Netherlands (BSN), Norway, Poland
(PESEL), Portugal (NIF), Singapore, South Korea, Spain (DNI, NIE), Sweden, Switzerland (AHV), Turkey, the United Kingdom
(NHS, NINO), the United States (SSN, ITIN). Numbers without a distinctive format are found only after a keyword.
Phone numbers: with + or 00 in every country, North American ones, and those that begin with 0; others after a keyword.
Keywords are English, German, French, Spanish, Italian, Portuguese and Dutch.

Names, places and addresses are found by the guardrail `names`: see named_entities.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from msgspec import Struct

from sizewise.guardrails import id_checksums as numbers
from sizewise.guardrails.base import Finding, Guard, GuardConfig, merge_overlaps
from sizewise.guardrails.prefilter import PrefilteredGuard, PrefilterSigns

NAME = "pii"
MIN_CHARS = 6
"""Characters of the shortest finding."""
CONTEXT_CHARS = 120
"""Characters scanned on both sides of a candidate: more than any number and its keyword take."""

CANDIDATE = re.compile(
    r"[0-9](?:(?:[ \-./()\u00a0]{0,2}[0-9]){4}|\.[0-9]{1,3}\.[0-9]|[0-9]{3}[A-Za-z]\b|[A-Za-z][0-9]{3}[A-Za-z]"
    r"|[0-9A-Fa-f]?[:-][0-9A-Fa-f]{2}[:-]|[0-9A-Fa-f]{0,3}:[0-9A-Fa-f]{0,4}:|x[0-9A-Fa-f]{40}|[A-Za-z0-9]{25})",
)
"""Matches wherever anything but an email address could be: five digits close together, or a distinctive format. Visits
each character once, so that a prompt without personal data costs microseconds."""


class PiiPattern(Struct, frozen=True):
    """Format of one kind. Group 1 of `pattern`, if it has one, is the finding. `is_valid` gets it in capitals and
    without separators, except for UNTOUCHED kinds.
    """

    kind: str
    pattern: re.Pattern[str]
    is_valid: Callable[[str], bool]
    shapes: tuple[str, ...]  # `text_shape` of every match contains one of these
    keywords: tuple[str, ...] = ()  # every match begins with one of these, in lower case
    marker: str = ""  # every match contains it
    marker_count: int = 1  # at least this often


_DIGITS, _LETTERS, _APART = b"0123456789", b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", b"-/\xa0"
SHAPE_TABLE: bytes = bytes.maketrans(_DIGITS + _LETTERS + _APART, b"0" * 10 + b"a" * 52 + b" " * 3)
LOOSE_TABLE: bytes = bytes.maketrans(b"0a", b"9b")
WORD_TABLE: bytes = bytes.maketrans(b"0a", b"ww")


def text_shape(text: str) -> str:
    """Three lines: `text` with digits as 0, letters as a, and - / and no-break spaces as spaces; without separators,
    with digits as 9 and letters as b; with both as w. Searching for a pattern's shapes takes a fortieth of the time of
    the pattern.
    """
    drawn = text.encode("latin-1", "replace").translate(SHAPE_TABLE)
    return b"\n".join((drawn, drawn.translate(LOOSE_TABLE, b" .()+"), drawn.translate(WORD_TABLE))).decode("latin-1")


def _shapes(shapes: str) -> tuple[str, ...]:
    return tuple(shapes.replace("-", " ").split("|"))


ALTERNATIVE = re.compile(r"\|(?![^(]*\))")
"""A | between keywords, not one within parentheses."""


def always(text: str) -> bool:
    return True


def _pattern(
    kind: str,
    shapes: str,
    pattern: str,
    is_valid: Callable[[str], bool] = always,
    marker: str = "",
    marker_count: int = 1,
) -> PiiPattern:
    letters = re.sub(r"\\.|\(\?[^)]{0,3}", "", pattern)  # a pattern without letters is faster without IGNORECASE
    flags = re.IGNORECASE if re.search("[A-Za-z]", letters) else 0
    return PiiPattern(
        kind=kind,
        pattern=re.compile(pattern, flags),
        is_valid=is_valid,
        shapes=_shapes(shapes),
        keywords=(),
        marker=marker,
        marker_count=marker_count,
    )


def _keyword_pattern(
    kind: str,
    shapes: str,
    keywords: str,
    pattern: str,
    is_valid: Callable[[str], bool] = always,
) -> PiiPattern:
    """A pattern that counts only within 30 characters after one of `keywords`."""
    beside = {re.sub(r"[^a-zà-ÿ ].*", "", word.lower()) for word in ALTERNATIVE.split(keywords)}
    beside = {word for word in beside if not any(word.startswith(other) for other in beside - {word})}
    pattern = rf"\b(?:{keywords})\b[^0-9\n]{{0,30}}?(?<!\w)({pattern})\b"
    return PiiPattern(
        kind=kind,
        pattern=re.compile(pattern, re.IGNORECASE),
        is_valid=is_valid,
        shapes=_shapes(shapes),
        keywords=tuple(sorted(beside)),
    )


def _digits(least: int, most: int) -> Callable[[str], bool]:
    return partial(has_digits, least, most)


def has_digits(least: int, most: int, text: str) -> bool:
    return least <= sum(c.isdigit() for c in text) <= most


def is_phone(text: str) -> bool:
    """8 to 15 digits, at least three different ones."""
    digits = [c for c in text if c.isdigit()]
    return 8 <= len(digits) <= 15 and len(set(digits)) > 2


def is_ip4(text: str) -> bool:
    try:
        address = IPv4Address(text)
    except AddressValueError:
        return False
    return not (address.is_loopback or address.is_unspecified) and address.packed[3:] != b"\0"


def is_ip6(text: str) -> bool:
    try:
        address = IPv6Address(text.partition("%")[0])
    except AddressValueError:
        return False
    return text.count(":") > 2 and not address.is_loopback


# A pattern that begins with a character set is several times faster than one that begins with a lookbehind, so some
# have their lookbehind after the first character.
S = r"[ .\-\u00a0]?"
"""Separator between groups of digits."""
TEL = (
    "phone|telephone|tel|mobile|cell|cellphone|fax|call|dial|text|sms|whatsapp|contact|reach|ring|phone number"
    "|my number|your number|his number|her number|telefon|handy|mobil|rufnummer|téléphone|portable|teléfono|móvil"
    "|celular|telefono|cellulare|telefone|telefoon"
)
BORN = (
    "born|birth|birthday|birthdate|date of birth|dob|geboren|geburtsdatum|geburtstag|née?|naissance"
    "|nacid[oa]|nacimiento|nat[oa]|nascita|nascid[oa]|nascimento|geboortedatum"
)
DATE = (
    r"[0-9]{1,2}[./\- ][0-9]{1,2}[./\- ](?:19|20)?[0-9]{2}|(?:19|20)[0-9]{2}[./\-][0-9]{1,2}[./\-][0-9]{1,2}"
    r"|[0-9]{1,2}(?:st|nd|rd|th|\.)? (?:of )?[^\W\d_]{3,10},? (?:19|20)[0-9]{2}"
)

PII_PATTERNS: tuple[PiiPattern, ...] = (
    _pattern(
        "CARD",
        "9999999999999",
        rf"[0-9](?<![0-9].)(?:[0-9]{{12,18}}|[0-9]{{3}}(?:[ .\-\u00a0][0-9]{{4}}){{3}}(?:{S}[0-9]{{1,3}})?"
        r"|[0-9]{3}[ .\-][0-9]{6}[ .\-][0-9]{4,5})(?![0-9])",
        numbers.payment_card,
    ),
    # ---- national IDs with a distinctive format
    _pattern("NATIONAL_ID", "000-00-0000", r"(?<![0-9\-])[0-9]{3}-[0-9]{2}-[0-9]{4}(?![0-9\-])", numbers.us_ssn, "-"),
    _pattern(
        "NATIONAL_ID",
        "000-000-000",
        r"(?<![0-9\-])[0-9]{3}[ \-][0-9]{3}[ \-][0-9]{3}(?![0-9\- ])",
        numbers.ca_sin,
    ),
    _pattern(
        "NATIONAL_ID",
        "bb999999b",
        r"\b(?!BG|GB|NK|KN|TN|NT|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?(?:[0-9]{2} ?){3}[A-D]\b",
    ),
    _pattern("NATIONAL_ID", "0000000a|0000000-a", r"\b(?:[0-9]{8}|[XYZ][0-9]{7})-?[A-Z]\b", numbers.es_nif),
    _pattern(
        "NATIONAL_ID",
        "999999999999999|9b99999999",
        r"[12](?<!\w.) ?[0-9]{2} ?[0-9]{2} ?(?:[0-9]{2}|2[AB]) ?[0-9]{3} ?[0-9]{3} ?[0-9]{2}\b",
        numbers.fr_nir,
    ),
    _pattern(
        "NATIONAL_ID",
        "aaaaaa00a00a000a",
        r"\b[A-Z]{6}[0-9]{2}[A-EHLMPRST][0-9]{2}[A-Z][0-9]{3}[A-Z]\b",
        numbers.it_fiscal,
    ),
    _pattern(
        "NATIONAL_ID",
        "00.00.00-000.00",
        r"\b[0-9]{2}\.[0-9]{2}\.[0-9]{2}-[0-9]{3}\.[0-9]{2}\b",
        numbers.be_national,
        ".",
    ),
    _pattern(
        "NATIONAL_ID",
        "000000-0000|000000+0000",
        r"(?<![0-9\-])(?:19|20)?([0-9]{6}[-+][0-9]{4})(?![0-9\-])",
        numbers.se_person,
    ),
    _pattern(
        "NATIONAL_ID",
        "000000-000|000000+000|000000a000",
        r"\b[0-9]{6}[-+A-FU-Y][0-9]{3}[0-9A-FHJ-NPR-Y]\b",
    ),  # checked in `_holds`: the sign for the century is part of the ID
    _pattern("NATIONAL_ID", "000000-0000", r"(?<![0-9\-])[0-9]{6}-[0-9]{4}(?![0-9\-])", numbers.dk_cpr, "-"),
    _pattern("NATIONAL_ID", "00000000000|000000 00000", r"(?<![0-9])[0-9]{6} ?[0-9]{5}(?![0-9])", numbers.no_birth),
    _pattern("NATIONAL_ID", "000.000.000-00", r"\b[0-9]{3}\.[0-9]{3}\.[0-9]{3}-[0-9]{2}\b", numbers.br_cpf, "-"),
    _pattern(
        "NATIONAL_ID",
        "0000-0000-0000",
        r"[2-9](?<![0-9\-].)[0-9]{3}[ \-][0-9]{4}[ \-][0-9]{4}(?![0-9\- ])",
        numbers.verhoeff,
    ),
    _pattern("NATIONAL_ID", "aaaaa0000a", r"\b(?-i:[A-Z]{3}[PCHFATBLJG][A-Z][0-9]{4}[A-Z])\b"),
    _pattern("NATIONAL_ID", "00000000000000000", r"\b[1-9][0-9]{16}[0-9X]\b", numbers.cn_resident),
    _pattern(
        "NATIONAL_ID",
        "000000-0000000",
        r"(?<![0-9\-])[0-9]{6}-[1-8][0-9]{6}(?![0-9\-])",
        numbers.kr_resident,
        "-",
    ),
    _pattern("NATIONAL_ID", "a0000000a", r"\b[STFGM][0-9]{7}[A-Z]\b", numbers.sg_nric),
    _pattern("NATIONAL_ID", "00000000000", r"(?<![0-9])[1-9][0-9]{10}(?![0-9])", numbers.tr_person),
    _pattern("NATIONAL_ID", "000.0000.0000.00", r"\b756\.[0-9]{4}\.[0-9]{4}\.[0-9]{2}\b", numbers.ch_ahv, "756."),
    # ---- national IDs that need a keyword
    _keyword_pattern(
        "NATIONAL_ID",
        "999999999",
        "ssn|social security|itin|tax(?:payer)? id",
        r"[0-9]{3}[ \-]?[0-9]{2}[ \-]?[0-9]{4}",
    ),
    _keyword_pattern("NATIONAL_ID", "000000000", "sin|social insurance", r"[0-9]{9}", numbers.ca_sin),
    _keyword_pattern("NATIONAL_ID", "9999999999", "nhs", r"[0-9]{3}[ \-]?[0-9]{3}[ \-]?[0-9]{4}", numbers.uk_nhs),
    _keyword_pattern(
        "NATIONAL_ID",
        "99999999999",
        "steuer-?id|steuer\\w*nummer|idnr",
        r"[0-9]{2} ?[0-9]{3} ?[0-9]{3} ?[0-9]{3}",
        numbers.de_tax,
    ),
    _keyword_pattern("NATIONAL_ID", "000000000", "bsn|burgerservicenummer|sofinummer", r"[0-9]{9}", numbers.nl_bsn),
    _keyword_pattern("NATIONAL_ID", "00000000000", "pesel", r"[0-9]{11}", numbers.pl_pesel),
    _keyword_pattern("NATIONAL_ID", "00000000000", "cpf", r"[0-9]{11}", numbers.br_cpf),
    _keyword_pattern("NATIONAL_ID", "000000000000", "aadhaar|aadhar|uidai", r"[0-9]{12}", numbers.verhoeff),
    _keyword_pattern("NATIONAL_ID", "999999999", "tfn|tax file", r"[0-9]{3} ?[0-9]{3} ?[0-9]{3}", numbers.au_tax),
    _keyword_pattern("NATIONAL_ID", "9999999999", "medicare", r"[0-9]{4} ?[0-9]{5} ?[0-9]", numbers.au_medicare),
    _keyword_pattern("NATIONAL_ID", "000000000", "nif|contribuinte", r"[0-9]{9}", numbers.pt_nif),
    _keyword_pattern("NATIONAL_ID", "000000000", "teudat zehut|israeli id", r"[0-9]{9}", numbers.il_person),
    # ---- documents and accounts, by keyword alone
    _keyword_pattern(
        "PASSPORT",
        "000000",
        "passport|reisepass\\w*|passeport|pasaporte|passaporto|passaporte|paspoort",
        r"[A-Z]{0,2}[0-9]{6,9}",
    ),
    _keyword_pattern(
        "LICENSE",
        "000",
        "driv(?:er'?s?|ing) licen[cs]e|licen[cs]e (?:number|no|#)|dl|führerschein\\w*|permis de conduire",
        r"[A-Z]{0,3}[0-9]{5,13}|[A-Z0-9]{5,8}[0-9]{3,6}[A-Z0-9]{0,5}",
        _digits(5, 14),
    ),
    _keyword_pattern(
        "ACCOUNT",
        "000000",
        "account|acct|routing|iban|konto\\w*|compte|cuenta|medical record|mrn|member id|policy number",
        r"[0-9]{6,17}",
    ),
    _keyword_pattern("BIRTH", "00", BORN, DATE),
    # ---- network addresses and wallets
    _pattern("IP", "0.0.0|0.00.0|0.000.0", r"(?<![0-9.])(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?!\.?[0-9])", is_ip4, ".", 3),
    _pattern("IP", ":", r"(?<![\w:.])(?:[0-9A-F]{0,4}:){3,7}[0-9A-F]{0,4}(?![\w:])", is_ip6, ":", 3),
    _pattern("MAC", ":", r"(?<![\w:\-])[0-9A-F]{2}(?::[0-9A-F]{2}){5}(?![\w:\-])", marker=":", marker_count=5),
    _pattern("MAC", "-", r"(?<![\w:\-])[0-9A-F]{2}(?:-[0-9A-F]{2}){5}(?![\w:\-])", marker="-", marker_count=5),
    _pattern("CRYPTO", 42 * "w", r"\b0x[0-9A-F]{40}\b", marker="0x"),
    _pattern("CRYPTO", 26 * "w", r"\b(?-i:[13][1-9A-HJ-NP-Za-km-z]{25,34})\b"),
    _pattern("CRYPTO", 11 * "w", r"\bbc1[a-z0-9]{8,87}\b", marker="bc1"),
    # ---- phone numbers: the least certain, so last
    _pattern(
        "PHONE",
        "+0|000",
        r"[+0](?<![\w+].)(?:(?<=\+)|(?<=0)0)[1-9][0-9]{0,2}(?:[ .\-/\u00a0]?\(?[0-9]{1,4}\)?){1,6}"
        r"(?:\s?(?:x|ext\.?)\s?[0-9]{1,6})?(?![0-9])",
        is_phone,
    ),
    _pattern(
        "PHONE",
        "000-0000|000.0000",
        r"[(1-9](?<![\w.\-].)(?:(?<=1)[ .\-](?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}[ .\-])|(?<=\()[2-9][0-9]{2}\) ?"
        r"|(?<=[2-9])[0-9]{2}[ .\-])[2-9][0-9]{2}[ .\-][0-9]{4}"
        r"(?:\s?(?:x|ext\.?)\s?[0-9]{1,6})?(?!-?[0-9])",
    ),
    _pattern(
        "PHONE",
        "00 00|00) 00",
        r"[(0](?<![\w.,\-].)(?:(?<=0)|(?<=\()0)[1-9][0-9]{0,3}\)?(?:[ \-/][0-9]{2,8}){1,5}(?!-?[0-9])",
        _digits(9, 12),
    ),
    _keyword_pattern(
        "PHONE",
        "9999999",
        TEL,
        r"(?![0-9]+[.,][0-9]+(?![0-9.,]))[(+]?[0-9](?:[ .\-/()]{0,2}[0-9]){6,14}(?:\s?(?:x|ext\.?)\s?[0-9]{1,6})?",
        is_phone,
    ),
)

PATTERN_SHAPES = frozenset(each for form in PII_PATTERNS for each in form.shapes)

SEPARATORS: Mapping[int, int | None] = str.maketrans("", "", " .-/()\u00a0+")
UNTOUCHED = frozenset({"IP", "MAC", "CRYPTO", "PASSPORT", "LICENSE", "BIRTH", "ACCOUNT"})
"""Kinds that are validated with their separators, or by pattern alone."""

HETU = re.compile(r"[0-9]{6}[-+A-FU-Y][0-9]{3}[0-9A-Z]\Z")

IBAN_START = re.compile(r"\b[A-Z]{2}[0-9]{2}[ \-]?[A-Z0-9]", re.IGNORECASE)

DOMAIN = re.compile(r"(?:[^\W_](?:[\w\-]{0,61}[^\W_])?\.){1,8}(?:[^\W\d_]{2,24}|xn--[a-z0-9\-]{1,59})\b")
LOCAL = frozenset("!#$%&'*+/=?^_`{|}~-.")
FILES = frozenset({"png", "jpg", "jpeg", "gif", "svg", "webp", "py", "js", "ts", "css", "html", "json", "md"})
"""Extensions of file names that may contain an @ (`logo@2x.png`)."""


PREFILTER_SIGNS = PrefilterSigns("1@023456789")


def pii_guard(config: GuardConfig) -> Guard:
    """Ignores the settings."""
    return PrefilteredGuard(find_pii, PREFILTER_SIGNS)


def find_pii(text: str) -> list[Finding]:
    if len(text) < MIN_CHARS:
        return []
    found = list(_emails(text)) if "@" in text else []
    for digit in "0123456789":
        if digit in text:
            for start, end in _places(text):
                found += _within(text, start, end)
            break
    return merge_overlaps(found)


def _emails(text: str) -> Iterator[Finding]:
    """Searches around each @. An address cannot begin within the one before, so no character is visited twice."""
    at, free = text.find("@"), 0
    while at >= 0:
        start = at
        while start > free and at - start < 64 and (text[start - 1].isalnum() or text[start - 1] in LOCAL):
            start -= 1
        while start < at and text[start] in ".'`/=&?|{}*#$!^~":
            start += 1
        domain = DOMAIN.match(text, at + 1) if start < at else None
        if domain is not None and text[start:at] != "git":
            last = domain.group().rpartition(".")[2].lower()
            if last not in FILES and not domain.group()[:1].isdigit() | (text[at - 1] == "."):
                yield Finding(NAME, "EMAIL", start, domain.end())
                free = domain.end()
        at = text.find("@", at + 1)


def _places(text: str) -> Iterator[tuple[int, int]]:
    """Candidates with their context, merged where they overlap."""
    start = end = -1
    for place in CANDIDATE.finditer(text):
        if start < 0 or place.start() - CONTEXT_CHARS > end:
            if start >= 0:
                yield start, end
            start = max(0, place.start() - CONTEXT_CHARS)
        end = min(len(text), place.end() + CONTEXT_CHARS)
    if start >= 0:
        yield start, end


def _within(text: str, start: int, end: int) -> Iterator[Finding]:
    near = text[start:end]
    low, drawn = near.lower(), text_shape(near)
    there = {each for each in PATTERN_SHAPES if each in drawn}
    for form in PII_PATTERNS:
        if there.isdisjoint(form.shapes) or (form.marker and low.count(form.marker) < form.marker_count):
            continue
        for match in (
            keyword_matches(form, low, text, start, end) if form.keywords else form.pattern.finditer(text, start, end)
        ):
            group = form.pattern.groups
            if _holds(form, match.group(group)):
                yield Finding(NAME, form.kind, match.start(group), match.end(group))
    if "aa00" in drawn:
        for begin in IBAN_START.finditer(text, start, end):
            stop = _iban(text, begin.start())
            if stop:
                yield Finding(NAME, "IBAN", begin.start(), stop)


def keyword_matches(pattern: PiiPattern, low: str, text: str, start: int, end: int) -> Iterator[re.Match[str]]:
    """Matches that begin with one of the pattern's keywords. `low` is `text[start:end]` in lower case."""
    if not low.isascii():  # positions may differ: lowercasing can make a text longer
        if any(word in low for word in pattern.keywords):
            yield from pattern.pattern.finditer(text, start, end)
        return
    free = 0
    for at in sorted({at for word in pattern.keywords if word in low for at in _all(word, low)}):
        if at >= free and (match := pattern.pattern.match(text, start + at, end)) is not None:
            free = match.end() - start
            yield match


def _all(word: str, low: str) -> Iterator[int]:
    at = low.find(word)
    while at >= 0:
        yield at
        at = low.find(word, at + 1)


def _holds(pattern: PiiPattern, said: str) -> bool:
    if pattern.kind == "CRYPTO":
        if said[:2].lower() == "0x":
            return True
        return numbers.bech32(said.lower()) if said[:3].lower() == "bc1" else numbers.base58(said)
    if pattern.kind in UNTOUCHED:
        return pattern.is_valid(said)
    if pattern.is_valid is always and pattern.kind == "NATIONAL_ID" and HETU.match(said.upper()):
        return numbers.fi_hetu(said.upper())
    said = said.translate(SEPARATORS)
    return said.isascii() and pattern.is_valid(
        said.upper(),
    )  # with IGNORECASE, a K also matches the Kelvin sign


def _iban(text: str, start: int) -> int:
    """End of the IBAN that begins at `start`; 0 if there is none."""
    wanted = numbers.IBAN.get(text[start : start + 2].upper(), 0)
    said: list[str] = []
    place = start
    while place < len(text) and len(said) < wanted:
        c = text[place]
        if c.isascii() and c.isalnum():
            said.append(c.upper())
        elif c not in " -\u00a0" or not (text[place - 1].isalnum()):
            return 0
        place += 1
    ends = place >= len(text) or not text[place].isalnum()
    return place if wanted and ends and len(said) == wanted and numbers.iban("".join(said)) else 0
