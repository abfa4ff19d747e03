"""Document kind by shape: mail, page, chat, code, manual or other text. Reads no meaning and knows no guard."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

DocumentKind = Literal["mail", "page", "chat", "code", "manual", "text"]

LOOKED_AT = 4_000
"""Characters of a document that decide its kind."""

_TAGS = re.compile(
    r"</[a-z]{1,10}[0-9]?>|<(?:!doctype|html|head|body|div|span|p|a|li|td|tr|br|img|h[1-6])\b",
    re.IGNORECASE,
)
_FIELD = re.compile(
    r"""(?:^|[,{])[\s"'{\[\-*>|]{0,12}(?:from|to|cc|subject|sender|recipients?|date|sent|received|von|an|betreff|gesendet|de"""
    r"""|para|à|asunto|objet|envoyé|da|oggetto|inviato|assunto|van|aan|onderwerp)["'*]{0,3}\s?:""",
    re.IGNORECASE | re.MULTILINE,
)
_SUBJECT = re.compile(
    r"""(?:subject|betreff|asunto|objet|oggetto|assunto|onderwerp|\bre|\bfwd?|\baw)["'*]{0,3}\s?:""",
    re.IGNORECASE,
)
_GREETING = re.compile(
    r"^\W{0,3}(?:hi|hello|hey|dear|good (?:morning|afternoon|evening)|greetings|hallo|liebe[rs]?|sehr geehrte"
    r"|guten (?:tag|morgen)|bonjour|bonsoir|cher|chère|salut|hola|buenos días|buenas tardes|estimad[oa]s?|querid[oa]s?"
    r"|ciao|buongiorno|gentile|egregio|olá|prezad[oa]s?|car[oa]s?|beste|geachte)\b[^\n]{0,60}(?:[,!:.]|\n|$)",
    re.IGNORECASE | re.MULTILINE,
)
_FAREWELL = re.compile(
    r"(?:^|[.!?]\s)\s{0,8}(?:(?:best|kind|warm|many)\s(?:regards|wishes|thanks)|regards|sincerely|yours\s\w{2,12}"
    r"|cheers|thanks|thank you|best|take care|(?:viele|liebe|beste|herzliche)\sgrüße|mit freundlichen grüßen"
    r"|cordialement|bien à (?:vous|toi)|merci|(?:un )?saludos?|atentamente|gracias|cordiali saluti|distinti saluti"
    r"|grazie|atenciosamente|abraços?|groet(?:en|jes)?)[,.!\s]{0,3}(?:\n|$|[A-Z])",
    re.IGNORECASE | re.MULTILINE,
)
_TURN = re.compile(
    r"^\W{0,3}(?:user|assistant|human|ai|bot|agent|customer|system|[A-Z][a-zäöüéèñ]{1,14})\W{0,3}: ",
    re.MULTILINE,
)
_CODE = re.compile(
    r"^\s*(?:(?:async )?def |class |import |from \S+ import|return\b|if \(|for \(|while \(|const |let |var |function "
    r"|public |private |#include|//|/\*|\* @|package |using |SELECT |@\w)|[;{}]\s*$|^\s*[\]})]+[,;]?\s*$|=>|:=|=="
    r"|\w\(.*\)$|^\s*[\w.\[\]]+ = "
)
_OUTLINE = re.compile(r"^\s*(?:#{1,6} |[-*+•] |\d{1,2}[.)] |```|~~~|\$ |>>> |={3,}|-{3,}|\|.*\|)")


def document_kind(text: str) -> DocumentKind:
    """The kind, by the first LOOKED_AT characters; linear in them. `text` where no shape is plain."""
    text = text[:LOOKED_AT]
    if len(_TAGS.findall(text)) >= 3:
        return "page"
    lines = [line for line in text.splitlines() if line.strip()]
    if _is_mail(text, lines):
        return "mail"
    if len(lines) >= 2 and len(_TURN.findall(text)) * 2 >= len(lines):
        return "chat"
    if len(lines) >= 3 and sum(_CODE.search(line[:200]) is not None for line in lines) * 3 >= len(lines):
        return "code"
    if sum(_OUTLINE.match(line[:200]) is not None for line in lines) >= 2 or len(text.split()) > 180:
        return "manual"
    return "text"


def _is_mail(text: str, lines: Sequence[str]) -> bool:
    """Fields of a mail, or a greeting at its beginning, or two lines of its own before a farewell at its end."""
    if len(_FIELD.findall(text)) >= 2 and _SUBJECT.search(text):
        return True
    if _GREETING.match("\n".join(lines[:1])[:120]) or (len(lines) > 3 and _GREETING.match(lines[1][:120])):
        return True
    return bool(lines) and len(text.split()) >= 8 and _FAREWELL.search("\n".join(lines[-3:])[-200:]) is not None
