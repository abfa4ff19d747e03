"""Finds personal data by its form and its checksum: what is a number, an address or a date; finds no names of people.

Kinds: EMAIL, PHONE, CARD, IBAN, IP, MAC, CRYPTO (Bitcoin, Ethereum), NATIONAL_ID, and, only where a word says what they
are, PASSPORT, LICENCE, ACCOUNT and BIRTH.

National numbers, with their checksums: Australia (TFN, Medicare), Belgium, Brazil (CPF), Canada (SIN), China, Denmark,
Finland, France (NIR), Germany (Steuer-ID), India (Aadhaar, PAN), Israel, Italy, the Netherlands (BSN), Norway, Poland
(PESEL), Portugal (NIF), Singapore, South Korea, Spain (DNI, NIE), Sweden, Switzerland (AHV), Turkey, the United Kingdom
(NHS, NINO), the United States (SSN, ITIN). Those without a form of their own are found only beside a word that says
what they are. Telephone numbers: every country's with + or 00, North America's, and what begins with 0; others beside a
word. Words are known in English, German, French, Spanish, Italian, Portuguese and Dutch.

Names and places need the extra `pii`: see names.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from msgspec import Struct

from sizewise.guards import pii_numbers as numbers
from sizewise.guards.guard import Finding, Guard, Words, apart

NAME = "pii"
LEAST = 6
"""Characters of the shortest that there is."""
AROUND = 120
"""Characters on both sides of a promising place that are looked at closely: more than any number and its word take."""

PROMISING = re.compile(
    r"[0-9](?:(?:[ \-./()\u00a0]{0,2}[0-9]){4}|\.[0-9]{1,3}\.[0-9]|[0-9]{3}[A-Za-z]\b|[A-Za-z][0-9]{3}[A-Za-z]"
    r"|[0-9A-Fa-f]?[:-][0-9A-Fa-f]{2}[:-]|[0-9A-Fa-f]{0,3}:[0-9A-Fa-f]{0,4}:|x[0-9A-Fa-f]{40}|[A-Za-z0-9]{25})"
)
"""Where anything but an e-mail address could be: five digits near each other, or a form of its own. One look at each
character, so that a prompt with nothing of the kind costs microseconds."""


class Form(Struct, frozen=True):
    """How a kind is written. Group 1 of `pattern`, where there is one, is the finding. `fits` gets it without
    separators, in capitals."""

    kind: str
    pattern: re.Pattern[str]
    fits: Callable[[str], bool]
    beside: tuple[str, ...] = ()  # one of these, in small letters, stands before it
    sign: str = ""  # stands in it


WORD = re.compile(r"\|(?![^(]*\))")
"""Between the words of a form, not within their brackets."""


def _always(text: str) -> bool:
    return True


def _form(kind: str, pattern: str, fits: Callable[[str], bool] = _always, sign: str = "") -> Form:
    letters = re.sub(r"\\.|\(\?[^)]{0,3}", "", pattern)  # of digits alone, it is found faster without
    return Form(kind, re.compile(pattern, re.IGNORECASE if re.search("[A-Za-z]", letters) else 0), fits, sign=sign)


def _said(kind: str, words: str, pattern: str, fits: Callable[[str], bool] = _always) -> Form:
    """A form that counts only a few characters behind one of `words`."""
    beside = {re.sub(r"[^a-zà-ÿ ].*", "", word.lower()) for word in WORD.split(words)}
    pattern = rf"\b(?:{words})\b[^0-9\n]{{0,30}}?(?<!\w)({pattern})\b"
    return Form(kind, re.compile(pattern, re.IGNORECASE), fits, tuple(sorted(beside)))


def _digits(least: int, most: int) -> Callable[[str], bool]:
    def fits(text: str) -> bool:
        return least <= sum(c.isdigit() for c in text) <= most

    return fits


def _phone(text: str) -> bool:
    """Not the same digit over and over."""
    digits = [c for c in text if c.isdigit()]
    return 8 <= len(digits) <= 15 and len(set(digits)) > 2


def _ip4(text: str) -> bool:
    try:
        address = IPv4Address(text)
    except AddressValueError:
        return False
    return not (address.is_loopback or address.is_unspecified) and address.packed[3:] != b"\0"


def _ip6(text: str) -> bool:
    try:
        address = IPv6Address(text.partition("%")[0])
    except AddressValueError:
        return False
    return text.count(":") > 2 and not address.is_loopback


S = r"[ .\-\u00a0]?"
"""What may stand between groups of digits."""
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

FORMS: tuple[Form, ...] = (
    _form(
        "CARD",
        rf"(?<![0-9])(?:[0-9]{{13,19}}|[0-9]{{4}}(?:[ .\-\u00a0][0-9]{{4}}){{3}}(?:{S}[0-9]{{1,3}})?"
        r"|[0-9]{4}[ .\-][0-9]{6}[ .\-][0-9]{4,5})(?![0-9])",
        numbers.card,
    ),
    # ---- national numbers that show what they are
    _form("NATIONAL_ID", r"(?<![0-9\-])[0-9]{3}-[0-9]{2}-[0-9]{4}(?![0-9\-])", numbers.us_ssn, "-"),
    _form("NATIONAL_ID", r"(?<![0-9\-])[0-9]{3}[ \-][0-9]{3}[ \-][0-9]{3}(?![0-9\- ])", numbers.ca_sin),
    _form("NATIONAL_ID", r"\b(?!BG|GB|NK|KN|TN|NT|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?(?:[0-9]{2} ?){3}[A-D]\b"),
    _form("NATIONAL_ID", r"\b(?:[0-9]{8}|[XYZ][0-9]{7})-?[A-Z]\b", numbers.es_nif),
    _form(
        "NATIONAL_ID",
        r"\b[12] ?[0-9]{2} ?[0-9]{2} ?(?:[0-9]{2}|2[AB]) ?[0-9]{3} ?[0-9]{3} ?[0-9]{2}\b",
        numbers.fr_nir,
    ),
    _form("NATIONAL_ID", r"\b[A-Z]{6}[0-9]{2}[A-EHLMPRST][0-9]{2}[A-Z][0-9]{3}[A-Z]\b", numbers.it_fiscal),
    _form("NATIONAL_ID", r"\b[0-9]{2}\.[0-9]{2}\.[0-9]{2}-[0-9]{3}\.[0-9]{2}\b", numbers.be_national, "."),
    _form("NATIONAL_ID", r"(?<![0-9\-])(?:19|20)?([0-9]{6}[-+][0-9]{4})(?![0-9\-])", numbers.se_person),
    _form("NATIONAL_ID", r"\b[0-9]{6}[-+A-FU-Y][0-9]{3}[0-9A-FHJ-NPR-Y]\b"),  # checked below: the sign counts
    _form("NATIONAL_ID", r"(?<![0-9\-])[0-9]{6}-[0-9]{4}(?![0-9\-])", numbers.dk_cpr, "-"),
    _form("NATIONAL_ID", r"(?<![0-9])[0-9]{6} ?[0-9]{5}(?![0-9])", numbers.no_birth),
    _form("NATIONAL_ID", r"\b[0-9]{3}\.[0-9]{3}\.[0-9]{3}-[0-9]{2}\b", numbers.br_cpf, "-"),
    _form("NATIONAL_ID", r"(?<![0-9\-])[2-9][0-9]{3}[ \-][0-9]{4}[ \-][0-9]{4}(?![0-9\- ])", numbers.verhoeff),
    _form("NATIONAL_ID", r"\b(?-i:[A-Z]{3}[PCHFATBLJG][A-Z][0-9]{4}[A-Z])\b"),
    _form("NATIONAL_ID", r"\b[1-9][0-9]{16}[0-9X]\b", numbers.cn_resident),
    _form("NATIONAL_ID", r"(?<![0-9\-])[0-9]{6}-[1-8][0-9]{6}(?![0-9\-])", numbers.kr_resident, "-"),
    _form("NATIONAL_ID", r"\b[STFGM][0-9]{7}[A-Z]\b", numbers.sg_nric),
    _form("NATIONAL_ID", r"(?<![0-9])[1-9][0-9]{10}(?![0-9])", numbers.tr_person),
    _form("NATIONAL_ID", r"\b756\.[0-9]{4}\.[0-9]{4}\.[0-9]{2}\b", numbers.ch_ahv, "756."),
    # ---- national numbers that need a word
    _said("NATIONAL_ID", "ssn|social security|itin|tax(?:payer)? id", r"[0-9]{3}[ \-]?[0-9]{2}[ \-]?[0-9]{4}"),
    _said("NATIONAL_ID", "sin|social insurance", r"[0-9]{9}", numbers.ca_sin),
    _said("NATIONAL_ID", "nhs", r"[0-9]{3}[ \-]?[0-9]{3}[ \-]?[0-9]{4}", numbers.uk_nhs),
    _said("NATIONAL_ID", "steuer-?id|steuer\\w*nummer|idnr", r"[0-9]{2} ?[0-9]{3} ?[0-9]{3} ?[0-9]{3}", numbers.de_tax),
    _said("NATIONAL_ID", "bsn|burgerservicenummer|sofinummer", r"[0-9]{9}", numbers.nl_bsn),
    _said("NATIONAL_ID", "pesel", r"[0-9]{11}", numbers.pl_pesel),
    _said("NATIONAL_ID", "cpf", r"[0-9]{11}", numbers.br_cpf),
    _said("NATIONAL_ID", "aadhaar|aadhar|uidai", r"[0-9]{12}", numbers.verhoeff),
    _said("NATIONAL_ID", "tfn|tax file", r"[0-9]{3} ?[0-9]{3} ?[0-9]{3}", numbers.au_tax),
    _said("NATIONAL_ID", "medicare", r"[0-9]{4} ?[0-9]{5} ?[0-9]", numbers.au_medicare),
    _said("NATIONAL_ID", "nif|contribuinte", r"[0-9]{9}", numbers.pt_nif),
    _said("NATIONAL_ID", "teudat zehut|israeli id", r"[0-9]{9}", numbers.il_person),
    # ---- papers and accounts, by the word alone
    _said(
        "PASSPORT", "passport|reisepass\\w*|passeport|pasaporte|passaporto|passaporte|paspoort", r"[A-Z]{0,2}[0-9]{6,9}"
    ),
    _said(
        "LICENCE",
        "driv(?:er'?s?|ing) licen[cs]e|licen[cs]e (?:number|no|#)|dl|führerschein\\w*|permis de conduire",
        r"[A-Z]{0,3}[0-9]{5,13}|[A-Z0-9]{5,8}[0-9]{3,6}[A-Z0-9]{0,5}",
        _digits(5, 14),
    ),
    _said(
        "ACCOUNT",
        "account|acct|routing|iban|konto\\w*|compte|cuenta|medical record|mrn|member id|policy number",
        r"[0-9]{6,17}",
    ),
    _said("BIRTH", BORN, DATE),
    # ---- the net
    _form("IP", r"(?<![0-9.])(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?!\.?[0-9])", _ip4, "."),
    _form("IP", r"(?<![\w:.])(?:[0-9A-F]{0,4}:){3,7}[0-9A-F]{0,4}(?![\w:])", _ip6, ":"),
    _form("MAC", r"(?<![\w:\-])[0-9A-F]{2}([:\-])(?:[0-9A-F]{2}\1){4}[0-9A-F]{2}(?![\w:\-])"),
    _form("CRYPTO", r"\b0x[0-9A-F]{40}\b", sign="0x"),
    _form("CRYPTO", r"\b(?-i:[13][1-9A-HJ-NP-Za-km-z]{25,34})\b"),
    _form("CRYPTO", r"\bbc1[a-z0-9]{8,87}\b"),
    # ---- telephones: last, for what is longer and surer stands
    _form(
        "PHONE",
        r"(?<![\w+])(?:\+|00)[1-9][0-9]{0,2}(?:[ .\-/\u00a0]?\(?[0-9]{1,4}\)?){1,6}"
        r"(?:\s?(?:x|ext\.?)\s?[0-9]{1,6})?(?![0-9])",
        _phone,
    ),
    _form(
        "PHONE",
        r"(?<![\w.\-])(?:1[ .\-])?(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}[ .\-])[2-9][0-9]{2}[ .\-][0-9]{4}"
        r"(?:\s?(?:x|ext\.?)\s?[0-9]{1,6})?(?!-?[0-9])",
    ),
    _form("PHONE", r"(?<![\w.,\-])\(?0[1-9][0-9]{0,3}\)?(?:[ \-/][0-9]{2,8}){1,5}(?!-?[0-9])", _digits(9, 12)),
    _said(
        "PHONE",
        TEL,
        r"(?![0-9]+[.,][0-9]+(?![0-9.,]))[(+]?[0-9](?:[ .\-/()]{0,2}[0-9]){6,14}(?:\s?(?:x|ext\.?)\s?[0-9]{1,6})?",
        _phone,
    ),
)

SEPARATORS: Mapping[int, int | None] = str.maketrans("", "", " .-/()\u00a0+")
UNTOUCHED = frozenset({"IP", "MAC", "CRYPTO", "PASSPORT", "LICENCE", "BIRTH", "ACCOUNT"})
"""Kinds whose separators are part of them, or that are checked by their form alone."""

HETU = re.compile(r"[0-9]{6}[-+A-FU-Y][0-9]{3}[0-9A-Z]\Z")

IBAN_START = re.compile(r"\b[A-Z]{2}[0-9]{2}[ \-]?[A-Z0-9]", re.IGNORECASE)

DOMAIN = re.compile(r"(?:[^\W_](?:[\w\-]{0,61}[^\W_])?\.){1,8}(?:[^\W\d_]{2,24}|xn--[a-z0-9\-]{1,59})\b")
LOCAL = frozenset("!#$%&'*+/=?^_`{|}~-.")
FILES = frozenset({"png", "jpg", "jpeg", "gif", "svg", "webp", "py", "js", "ts", "css", "html", "json", "md"})
"""Ends of file names that have an @ in them (`logo@2x.png`)."""


def pii(words: Words) -> Guard:
    """The same whatever the settings say."""
    return find


def find(text: str) -> list[Finding]:
    if len(text) < LEAST:
        return []
    if "@" not in text:
        place = PROMISING.search(text)
        if place is None:
            return []
    found = list(_emails(text))
    for start, end in _places(text):
        found += _within(text, start, end)
    return apart(found)


def _emails(text: str) -> Iterator[Finding]:
    """Around each @; a second one in the same address ends it, so no character is looked at twice."""
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
    """Stretches of the text worth a close look, apart from each other."""
    start = end = -1
    for place in PROMISING.finditer(text):
        if start < 0 or place.start() - AROUND > end:
            if start >= 0:
                yield start, end
            start = max(0, place.start() - AROUND)
        end = min(len(text), place.end() + AROUND)
    if start >= 0:
        yield start, end


def _within(text: str, start: int, end: int) -> Iterator[Finding]:
    low = text[start:end].lower()
    for form in FORMS:
        if form.sign not in low or (form.beside and not any(word in low for word in form.beside)):
            continue
        for match in form.pattern.finditer(text, start, end):
            group = 1 if form.pattern.groups == 1 and form.kind != "MAC" else 0
            if _holds(form, match.group(group)):
                yield Finding(NAME, form.kind, match.start(group), match.end(group))
    for begin in IBAN_START.finditer(text, start, end):
        stop = _iban(text, begin.start())
        if stop:
            yield Finding(NAME, "IBAN", begin.start(), stop)


def _holds(form: Form, said: str) -> bool:
    if form.kind == "CRYPTO":
        if said[:2].lower() == "0x":
            return True
        return numbers.bech32(said.lower()) if said[:3].lower() == "bc1" else numbers.base58(said)
    if form.kind in UNTOUCHED:
        return form.fits(said)
    if form.fits is _always and form.kind == "NATIONAL_ID" and HETU.match(said.upper()):
        return numbers.fi_hetu(said.upper())
    return form.fits(said.translate(SEPARATORS).upper())


def _iban(text: str, start: int) -> int:
    """Where the IBAN that begins at `start` ends; 0 where there is none."""
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
