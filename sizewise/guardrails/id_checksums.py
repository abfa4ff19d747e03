"""Checksums of national IDs, payment cards and account numbers, by country.

Each function takes digits (or letters and digits) without separators and returns whether the number is valid.
Sources: ISO/IEC 7812 (cards), ISO 13616 and the IBAN registry; for national IDs, the issuer's rule as given in
Wikipedia.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

IBAN: Mapping[str, int] = {
    each[:2]: int(each[2:])
    for line in (
        "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28",
        "EE20 EG29 ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27",
        "JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18",
        "NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28",
        "TL23 TN24 TR26 UA29 VA22 VG24 XK20",
    )
    for each in line.split()
}
"""Country -> length of its IBAN in characters."""


def luhn(digits: str) -> bool:
    total = 0
    for place, digit in enumerate(reversed(digits)):
        number = ord(digit) - 48
        if place % 2:
            number = number * 2 - 9 if number > 4 else number * 2
        total += number
    return total % 10 == 0


def payment_card(digits: str) -> bool:
    """Checks the issuer's prefix, the length and the Luhn digit."""
    size, first = len(digits), int(digits[:4])
    fits = (
        (digits[0] == "4" and size in (13, 16, 19))
        or ((5100 <= first <= 5599 or 2221 <= first <= 2720) and size == 16)
        or (digits[:2] in ("34", "37") and size == 15)
        or ((3000 <= first <= 3059 or digits[:2] in ("36", "38", "39")) and 14 <= size <= 19)
        or ((first == 6011 or digits[:2] in ("65", "62", "81") or 6440 <= first <= 6499) and 16 <= size <= 19)
        or ((3528 <= first <= 3589) and 16 <= size <= 19)
        or (digits[:2] in ("50", "56", "57", "58", "63", "67", "60") and 13 <= size <= 19)
        or ((digits.startswith(("2131", "1800"))) and size == 15)
    )
    return fits and len(set(digits)) > 1 and luhn(digits)


def iban(text: str) -> bool:
    """`text` in capitals."""
    if IBAN.get(text[:2]) != len(text) or not text[2:4].isdigit():
        return False
    return int("".join(str(int(c, 36)) for c in text[4:] + text[:4])) % 97 == 1


def _weighed(digits: str, weights: tuple[int, ...]) -> int:
    return sum((ord(digit) - 48) * weight for digit, weight in zip(digits, weights, strict=False))


def is_day_of_month(day: int, month: int) -> bool:
    return 1 <= day <= 31 and 1 <= month <= 12


def us_ssn(digits: str) -> bool:
    area, group, serial = digits[:3], digits[3:5], digits[5:]
    if area[0] == "9":  # an ITIN
        return serial != "0000" and group[0] in "56789"
    return area not in ("000", "666") and group != "00" and serial != "0000"


def ca_sin(digits: str) -> bool:
    return digits[0] not in "08" and luhn(digits)


def uk_nhs(digits: str) -> bool:
    check = 11 - _weighed(digits, (10, 9, 8, 7, 6, 5, 4, 3, 2)) % 11
    return check != 10 and check % 11 == int(digits[9])


def es_nif(text: str) -> bool:
    """DNI and NIE."""
    number = int(text[:-1].translate({88: "0", 89: "1", 90: "2"}))
    return "TRWAGMYFPDXBNJZSQVHLCKE"[number % 23] == text[-1]


def fr_nir(text: str) -> bool:
    number = text[:13].replace("2A", "19").replace("2B", "18")
    return number.isdigit() and 1 <= int(text[3:5]) <= 42 and 97 - int(number) % 97 == int(text[13:])


def de_tax(digits: str) -> bool:
    """Steuer-Identifikationsnummer, ISO 7064 MOD 11,10."""
    if digits[0] == "0" or len(set(digits[:10])) not in (8, 9):
        return False
    product = 10
    for digit in digits[:10]:
        total = (int(digit) + product) % 10 or 10
        product = total * 2 % 11
    return (11 - product) % 10 == int(digits[10])


DIGITS = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21)
LETTERS = (*DIGITS, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23)
ODD: Mapping[str, int] = dict(zip("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", DIGITS + LETTERS, strict=True))
"""Values of characters in odd positions of an Italian codice fiscale."""


def it_fiscal(text: str) -> bool:
    total = sum(
        ODD[c] if place % 2 == 0 else int(c) if c.isdigit() else ord(c) - 65 for place, c in enumerate(text[:15])
    )
    return chr(65 + total % 26) == text[15]


def nl_bsn(digits: str) -> bool:
    return (_weighed(digits, (9, 8, 7, 6, 5, 4, 3, 2)) - int(digits[8])) % 11 == 0 and int(digits) > 0


def be_national(digits: str) -> bool:
    number, check = int(digits[:9]), int(digits[9:])
    return check in (97 - number % 97, 97 - (number + 2_000_000_000) % 97)


def pl_pesel(digits: str) -> bool:
    check = (10 - _weighed(digits, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3)) % 10) % 10
    return check == int(digits[10]) and is_day_of_month(int(digits[4:6]), int(digits[2:4]) % 20)


def se_person(digits: str) -> bool:
    return is_day_of_month(int(digits[4:6]) % 60, int(digits[2:4])) and luhn(digits)


def fi_hetu(text: str) -> bool:
    """`text` is DDMMYY, the century sign, three digits and a check character."""
    number = int(text[:6] + text[7:10])
    return is_day_of_month(int(text[:2]), int(text[2:4])) and "0123456789ABCDEFHJKLMNPRSTUVWXY"[number % 31] == text[10]


def dk_cpr(digits: str) -> bool:
    """Checks the date of birth only: there is no checksum since 2007."""
    return is_day_of_month(int(digits[:2]), int(digits[2:4]))


def no_birth(digits: str) -> bool:
    first = 11 - _weighed(digits, (3, 7, 6, 1, 8, 9, 4, 5, 2)) % 11
    second = 11 - _weighed(digits, (5, 4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11
    dated = is_day_of_month(int(digits[:2]) % 40, int(digits[2:4]) % 40)
    return dated and first % 11 == int(digits[9]) and second % 11 == int(digits[10])


def br_cpf(digits: str) -> bool:
    if len(set(digits)) == 1:
        return False
    first = _weighed(digits, (10, 9, 8, 7, 6, 5, 4, 3, 2)) * 10 % 11 % 10
    second = _weighed(digits, (11, 10, 9, 8, 7, 6, 5, 4, 3, 2)) * 10 % 11 % 10
    return first == int(digits[9]) and second == int(digits[10])


TURNS = ((1, 5, 7, 6, 2, 8, 3, 0, 9, 4), (5, 8, 0, 3, 7, 9, 6, 1, 4, 2), (8, 9, 1, 6, 0, 4, 3, 5, 2, 7))


def verhoeff(digits: str) -> bool:
    """India's Aadhaar."""
    turns: list[tuple[int, ...]] = [tuple(range(10)), TURNS[0]]
    while len(turns) < 8:
        turns.append(tuple(turns[-1][TURNS[0][place]] for place in range(10)))
    check = 0
    for place, digit in enumerate(reversed(digits)):
        turned = turns[place % 8][int(digit)]
        check = _dihedral(check, turned)
    return check == 0 and digits[0] not in "01"


def _dihedral(a: int, b: int) -> int:
    """The product in the dihedral group of the pentagon."""
    if a < 5:
        return (a + b) % 5 if b < 5 else (a + b - 5) % 5 + 5
    return (a - b) % 5 + 5 if b < 5 else (a - b) % 5


def au_tax(digits: str) -> bool:
    return _weighed(digits, (1, 4, 3, 7, 5, 8, 6, 9, 10)) % 11 == 0


def au_medicare(digits: str) -> bool:
    return digits[0] in "23456" and _weighed(digits, (1, 3, 7, 9, 1, 3, 7, 9)) % 10 == int(digits[8])


def cn_resident(text: str) -> bool:
    check = _weighed(text, (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)) % 11
    return "10X98765432"[check] == text[17] and is_day_of_month(int(text[12:14]), int(text[10:12]))


def kr_resident(digits: str) -> bool:
    check = (11 - _weighed(digits, (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)) % 11) % 10
    return is_day_of_month(int(digits[4:6]), int(digits[2:4])) and check == int(digits[12])


def sg_nric(text: str) -> bool:
    total = _weighed(text[1:8], (2, 7, 6, 5, 4, 3, 2)) + {"T": 4, "G": 4, "M": 3}.get(text[0], 0)
    letters = {"S": "JZIHGFEDCBA", "T": "JZIHGFEDCBA", "F": "XWUTRQPNMLK", "G": "XWUTRQPNMLK", "M": "KLJNPQRTUWX"}
    return letters[text[0]][total % 11 if text[0] != "M" else 10 - total % 11] == text[8]


def tr_person(digits: str) -> bool:
    d = [int(digit) for digit in digits]
    tenth = (sum(d[0:9:2]) * 7 - sum(d[1:8:2])) % 10
    return d[0] != 0 and tenth == d[9] and sum(d[:10]) % 10 == d[10]


def ch_ahv(digits: str) -> bool:
    return _weighed(digits, (1, 3) * 6 + (1,)) % 10 == 0


def pt_nif(digits: str) -> bool:
    check = 11 - _weighed(digits, (9, 8, 7, 6, 5, 4, 3, 2)) % 11
    return (0 if check > 9 else check) == int(digits[8])


def il_person(digits: str) -> bool:
    return luhn(digits)


BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def base58(text: str) -> bool:
    """A legacy Bitcoin address: the last four bytes are a hash of the others."""
    number = 0
    for c in text:
        number = number * 58 + BASE58.index(c)
    try:
        raw = number.to_bytes(25, "big")
    except OverflowError:
        return False
    return hashlib.sha256(hashlib.sha256(raw[:21]).digest()).digest()[:4] == raw[21:]


BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


def bech32(text: str) -> bool:
    """A SegWit Bitcoin address (BIP 173 and 350), in lower case."""
    head, _, data = text.rpartition("1")
    if not head or any(c not in BECH32 for c in data):
        return False
    values = [*(ord(c) >> 5 for c in head), 0, *(ord(c) & 31 for c in head), *(BECH32.index(c) for c in data)]
    check = 1
    for value in values:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for place, term in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            check ^= term if top >> place & 1 else 0
    return check in (1, 0x2BC830A3)
