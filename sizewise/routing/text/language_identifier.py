"""Language identifier: the ISO 639 code of a text's language by CLD2, if it is certain. Knows no model."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

try:
    import pycld2
except ImportError:  # the extra `languages` is not installed: no language is certain
    pycld2 = None

MAX_CHARS = 2_000  # characters of a text that are read
MIN_LETTERS = 3
CODES: Mapping[str, str] = MappingProxyType({"iw": "he", "in": "id", "jw": "jv", "ji": "yi", "nn": "no", "nb": "no"})
"""CLD2's codes that ISO 639 has replaced, or that short texts cannot tell apart."""
NO_LANGUAGES = frozenset({"un", "xxx", "tlh", "zzp", "zzb", "zze", "zzh"})
"""CLD2's codes for no language, and languages in jest, which are given to odd texts."""
_UNREADABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
_LETTER = re.compile(r"[^\W\d_]")
_UNSPACED = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]")
"""Thai, kana, Han and Hangul: a question in them is too short for CLD2 to be certain, and its script tells enough."""
UNSPACED_SHARE = 0.7  # of the letters


def identify_language(text: str) -> str:
    """For example `sv`; empty if CLD2 calls its guess unreliable, as in code, formulas and very short texts."""
    readable = _UNREADABLE.sub(" ", text[:MAX_CHARS])
    letters = len(_LETTER.findall(readable))
    if pycld2 is None or letters < MIN_LETTERS:
        return ""
    by_script = len(_UNSPACED.findall(readable)) >= UNSPACED_SHARE * letters
    try:
        reliable, _, found = pycld2.detect(readable, bestEffort=by_script)
    except pycld2.error:  # a character that CLD2 does not know
        return ""
    code = str(found[0][1]).partition("-")[0]
    return "" if not reliable or code in NO_LANGUAGES else CODES.get(code, code)
