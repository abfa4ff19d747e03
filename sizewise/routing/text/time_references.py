"""Time references: whether a question asks for the present, or names a year, by simple rules; knows no model.

The rules are measured on tests/routing/time_sensitive_questions.tsv: docs/explanation/freshness.md has the figures.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from types import MappingProxyType
from typing import Any

from msgspec import Struct

MAX_CHARS = 2_000
"""Characters that are read."""
MAX_YEARS_AHEAD = 1
"""A later year belongs to a story or a forecast, which no search answers."""

_WORD = re.compile(r"[^\W_]+")
_SPACED: bytes = bytes(b if 97 <= b <= 122 or 48 <= b <= 57 else 32 for b in range(256))
"""Small ASCII text -> a space for all but letters and digits: splitting it is the same as _WORD, ten times as fast."""
_QUOTED = re.compile(r"\"[^\"\n]*\"|“[^“”\n]*”|„[^„“\n]*“|«[^«»\n]*»|「[^「」\n]*」|`[^`\n]*`")
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")
_CJK_YEAR = re.compile(r"(20\d\d)年")


def _words(text: str) -> list[str]:
    return text.split()


_MONTHS: Mapping[str, int] = MappingProxyType(
    {
        name: number
        for number, names in enumerate(
            (
                "january januar janvier enero janeiro gennaio января январе",
                "february februar février febrero fevereiro febbraio февраля феврале",
                "march märz mars marzo março марта марте",
                "april avril abril aprile апреля апреле",
                "may mai mayo maio maggio мая мае",
                "june juni juin junio junho giugno июня июне",
                "july juli juillet julio julho luglio июля июле",
                "august août agosto августа августе",
                "september septembre septiembre setembro settembre сентября сентябре",
                "october oktober octobre octubre outubro ottobre октября октябре",
                "november novembre noviembre novembro ноября ноябре",
                "december dezember décembre diciembre dezembro dicembre декабря декабре",
            ),
            1,
        )
        for name in names.split()
    }
)
_PRESENT = frozenset(
    _words(
        "latest newest today tonight tomorrow yesterday currently recently upcoming recent heute gestern gerade "
        "neuigkeiten aktuell aktuelle aktuellen aktueller aktuelles derzeit zurzeit momentan neueste neuesten "
        "neuester neuestes aujourd actuel actuelle actuels actuelles actuellement demain hoy ayer actualmente "
        "reciente hoje ontem amanhã atual atualmente oggi domani ieri attuale attualmente сегодня сейчас завтра вчера"
    )
)
_CURRENT = frozenset({"current", "actual", "morgen"})
"""Words of the present next to a word of _CHANGING only: they have other meanings."""
_CHANGING = frozenset(
    _words(
        "weather forecast news headlines price prices rate inflation population status version release ceo president "
        "chancellor minister mayor governor king queen pope champion leader standings score stock record law affairs "
        "wetter nachrichten preis kurs prix météo précio precio presidente presidenta noticias preço notícias prezzo "
        "notizie погода новости президент"
    )
)
_OFFICES = frozenset(
    _words(
        "ceo president chancellor minister mayor governor king queen pope champion bundeskanzler bundespräsident "
        "kanzler bürgermeister président ministre presidente presidenta premier президент"
    )
)
_WHO = frozenset({("who", "is"), ("who", "s"), ("wer", "ist"), ("qui", "est"), ("quién", "es"), ("quem", "é")})
_ALWAYS = frozenset(
    {
        ("right", "now"),
        ("news", "on"),
        ("news", "about"),
        *(("last", each) for each in ("night", "week", "month", "year")),
        ("so", "far"),
        ("update", "on"),
        ("whats", "new"),
        ("new", "features"),
        ("exchange", "rate"),
        *(("this", each) for each in ("week", "month", "year", "season", "weekend", "morning", "quarter", "evening")),
        ("dernière", "version"),
        ("última", "versión"),
        ("ultima", "versione"),
        ("última", "versão"),
        ("последняя", "версия"),
        ("últimas", "noticias"),
        ("últimas", "notícias"),
        ("ultime", "notizie"),
        ("dernières", "nouvelles"),
    }
)
_NOW = (("what", "time", "is", "it"), ("what", "day", "is", "it"))
_NOW_CJK = ("今天", "现在", "目前", "最新", "最近", "昨天", "明天", "今日", "昨日", "明日", "现任", "今の", "現在")
_OWN_WORK = frozenset(
    _words(
        "write rewrite translate convert compute calculate fix make draft correct proofread paraphrase imagine help "
        "suggest schreibe übersetze korrigiere écris traduis escribe traduce escreva traduza scrivi traduci напиши "
        "переведи"
    )
)
"""First words of requests for a text or a calculation, which need no fact of today."""
_COURTESY = frozenset(_words("please kindly could can would you hi hello bitte"))
_HOW_TO = frozenset({("how", "do"), ("how", "can"), ("how", "does"), ("how", "to"), ("what", "does")})
_CODE = frozenset(_words("sql git bash regex function command python javascript typescript word header css html"))
_RELEASES = frozenset({"version", "release", "news"})
_ARITHMETIC = frozenset(_words("divided plus minus times prime days digit squared"))
_MEANING = frozenset(_words("difference meaning synonym word idea ideas recipe poem chess finite"))
_HINTS = frozenset(
    _PRESENT | _CURRENT | _OFFICES | {first for first, _ in _ALWAYS} | set(_words("time day next yet cost still now"))
)
"""Every reference in ASCII has one of these, or a year: most texts need no other rule."""


class TimeReference(Struct, frozen=True):
    """`present`: asks for what is so now. `date`: the latest year, or year and month, that it names; empty: none."""

    present: bool = False
    date: str = ""

    def is_after(self, cutoff: str, today: str) -> bool:
        """Whether it is about the time after `cutoff` (2024, 2024-06 or 2024-06-30; empty: unknown), as of `today`.

        With an unknown cutoff only the present, and the month of today or later, is after it.
        """
        if self.present:
            return True
        if not self.date or int(self.date[:4]) > int(today[:4]) + MAX_YEARS_AHEAD:
            return False
        if not cutoff:
            return self.date >= today[: len(self.date)]
        size = min(len(cutoff), len(self.date))
        return self.date[:size] > cutoff[:size]


NO_REFERENCE = TimeReference()


def time_reference(text: str) -> TimeReference:
    """What the user's own words refer to; quotations, and text after a colon, do not count."""
    text = text[:MAX_CHARS].lower()
    if text.isascii() and "20" not in text:
        words = text.encode("ascii").translate(_SPACED).decode("ascii").split()
        if _HINTS.isdisjoint(words):
            return NO_REFERENCE
    text = _own_question(text)
    words = _WORD.findall(text)
    while words and words[0] in _COURTESY:
        del words[0]
    if not words or words[0] in _OWN_WORK or tuple(words[:2]) in _HOW_TO:
        return NO_REFERENCE
    present, date = _asks_for_present(text, words), _latest_date(text, words)
    return TimeReference(present, date) if present or date else NO_REFERENCE


def _own_question(text: str) -> str:
    """Without quotations, and without what follows a colon, if it is more than two words."""
    if not _QUOTED.search(text) and ":" not in text:
        return text
    text = _QUOTED.sub(" ", text)
    head, colon, rest = text.partition(": ")
    return head if colon and len(rest.split()) > 2 else text


def _asks_for_present(text: str, words: list[str]) -> bool:
    seen = frozenset(words)
    if seen & _MEANING or (seen & _CODE and not seen & _RELEASES):
        return False
    if seen & _PRESENT or (seen & _CURRENT and seen & _CHANGING):
        return True
    if not text.isascii() and _CJK.search(text) and any(each in text for each in _NOW_CJK):
        return True
    pairs = set(pairwise(words))
    if pairs & _ALWAYS or (pairs & _WHO and seen & _OFFICES and "first" not in seen):
        return True
    return _is_question_of_now(text, words, pairs)


def _is_question_of_now(text: str, words: list[str], pairs: set[Any]) -> bool:
    """English questions whose form asks for the present: `What time is it`, `Has it been published yet`."""
    first = words[0]
    if tuple(words[:4]) in _NOW or (first == "when" and ("the", "next") in pairs):
        return True
    if (first in ("has", "have") and "yet" in words) or (first == "how" and words[-1] == "cost"):
        return True
    if first in ("is", "are", "which", "who") and "still" in words:
        return True
    return words[-1] == "now" and text.rstrip().endswith("?")


def _latest_date(text: str, words: list[str]) -> str:
    years = [place for place, word in enumerate(words) if len(word) == 4 and word.isdecimal() and word[:2] == "20"]
    if not years:
        return max(_CJK_YEAR.findall(text), default="") if not text.isascii() else ""
    if not _ARITHMETIC.isdisjoint(words):
        return ""
    return max(_date_at(words, place) for place in years)


def _date_at(words: list[str], place: int) -> str:
    """The year at this place, with the month that a word before it names, or a number after it (2025-11)."""
    year = words[place]
    for before in words[max(0, place - 2) : place]:
        if before in _MONTHS:
            return f"{year}-{_MONTHS[before]:02d}"
    after = words[place + 1] if place + 1 < len(words) else ""
    return f"{year}-{after}" if len(after) == 2 and "01" <= after <= "12" else year
