"""Languages as eligibility: which candidates do not list the question's language. Detects it only where they differ."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from sizewise.errors import NoModelFits
from sizewise.model_card import ModelCard
from sizewise.routing.policy import Candidate, RequestFeatures
from sizewise.routing.rejection import Rejection
from sizewise.routing.strength import strength

SIMILAR: tuple[frozenset[str], ...] = (
    frozenset({"da", "no", "nb", "nn", "sv"}),
    frozenset({"id", "ms"}),
    frozenset({"hr", "sr", "bs", "sl"}),
    frozenset({"cs", "sk"}),
    frozenset({"es", "pt", "gl", "ca", "it"}),
    frozenset({"ru", "uk", "be", "bg", "mk"}),
    frozenset({"hi", "mr", "ne"}),
    frozenset({"nl", "af"}),
    frozenset({"zh", "ja"}),
    frozenset({"ar", "fa", "ur"}),
)
"""Languages that are confused in short texts: a model that lists one of them is not left out for another."""

NAMES: Mapping[str, str] = MappingProxyType(
    {
        "ar": "Arabic",
        "bg": "Bulgarian",
        "bn": "Bengali",
        "ca": "Catalan",
        "cs": "Czech",
        "da": "Danish",
        "de": "German",
        "el": "Greek",
        "en": "English",
        "es": "Spanish",
        "et": "Estonian",
        "fa": "Persian",
        "fi": "Finnish",
        "fr": "French",
        "he": "Hebrew",
        "hi": "Hindi",
        "hr": "Croatian",
        "hu": "Hungarian",
        "id": "Indonesian",
        "it": "Italian",
        "ja": "Japanese",
        "ko": "Korean",
        "lt": "Lithuanian",
        "lv": "Latvian",
        "ms": "Malay",
        "nb": "Norwegian",
        "nl": "Dutch",
        "no": "Norwegian",
        "pl": "Polish",
        "pt": "Portuguese",
        "ro": "Romanian",
        "ru": "Russian",
        "sk": "Slovak",
        "sl": "Slovenian",
        "sr": "Serbian",
        "sv": "Swedish",
        "sw": "Swahili",
        "ta": "Tamil",
        "te": "Telugu",
        "th": "Thai",
        "tr": "Turkish",
        "uk": "Ukrainian",
        "ur": "Urdu",
        "vi": "Vietnamese",
        "zh": "Chinese",
    }
)
"""ISO 639 code -> English name."""
SHOWN = 4  # codes of a list in a sentence


def question_language(cards: tuple[ModelCard, ...], features: RequestFeatures) -> str:
    """The ISO 639 code of the question's language; empty if it is uncertain, or the same facts hold for all `cards`."""
    first, *others = cards
    differ = any(card.languages != first.languages for card in others)
    return features.answer_format.question_language() if differ else ""


def language_exclusions(cards: tuple[ModelCard, ...], language: str) -> Mapping[str, str]:
    """Reason by name for each of `cards` whose known languages do not include `language`, without its subject.

    A model with unknown languages is never left out. If all are, the strongest stays.
    """
    foreign = [card for card in cards if card.languages and not lists_language(card, language)]
    told = f"and the question is in {language_name(language)}"
    if len(foreign) == len(cards):
        foreign.remove(max(foreign, key=strength))
        told += ", which no model lists, so that the strongest answers"
    return {card.name: f"answers in {_listing(card.languages)}, {told}" for card in foreign}


def lists_language(card: ModelCard, language: str) -> bool:
    """Whether the facts list the language, or one that it is easily confused with."""
    kin = next((group for group in SIMILAR if language in group), frozenset({language}))
    return not kin.isdisjoint(card.languages) or language in card.languages


def language_name(language: str) -> str:
    """For example `Swedish (sv)`."""
    return f"{NAMES[language]} ({language})" if language in NAMES else language


def _listing(languages: frozenset[str]) -> str:
    known = sorted(languages)
    more = len(known) - SHOWN
    return f"{', '.join(known[:SHOWN])} and {more} more" if more > 0 else ", ".join(known)


def without_foreign(
    candidates: list[Candidate], features: RequestFeatures, against: list[Rejection]
) -> list[Candidate]:
    """Moves those whose facts leave out the question's language to `against`."""
    cards = tuple(each.card for each in candidates)
    language = question_language(cards, features)
    if not language:
        return candidates
    reasons = language_exclusions(cards, language)
    against += [
        Rejection(card, reasons[card.name], NoModelFits, decides=True) for card in cards if card.name in reasons
    ]
    return [each for each in candidates if each.card.name not in reasons]
