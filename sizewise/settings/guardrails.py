"""Settings of the guardrails: what each one detects and the action it takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from sizewise.data_class import DataClass, Place
from sizewise.errors import did_you_mean
from sizewise.settings.toml_reader import setting
from sizewise.settings.validators import InjectionSource, name

GuardrailMode = Literal["off", "flag", "mask", "local", "block"]


BUILT_IN_GUARDRAILS = ("pii", "secrets", "injection", "topics", "leakage")
"""Ours; others are named in [guardrails.custom]."""


KNOWN_GUARDRAILS = f"Known: {', '.join(BUILT_IN_GUARDRAILS)}."


def guardrail_name(text: str) -> str:
    if text not in BUILT_IN_GUARDRAILS and not text.startswith("custom."):
        raise ValueError(
            f"there is no guard named {text!r}. {did_you_mean(text, BUILT_IN_GUARDRAILS) or KNOWN_GUARDRAILS}"
            " One of your own is written as custom.NAME.",
        )
    return text


def tool_pattern(text: str) -> str:
    if not text.strip() or "*" in text[:-1]:
        raise ValueError(f"{text[:100]!r} is neither the name of a tool nor the beginning of names with a * behind it")
    return text


@dataclass(frozen=True, slots=True)
class TopicSettings:
    """What nobody shall talk about: a text with one of `deny` in it, and none of `allow`."""

    deny: tuple[str, ...] = setting((), "Words and phrases of the topic; case and accents do not matter.")
    allow: tuple[str, ...] = setting((), "Words and phrases beside which it is not this topic after all.")


@dataclass(frozen=True, slots=True)
class GuardrailsSettings:
    """What is looked for in requests and replies, and what is done about it.

    off: nothing is looked for. flag: it is noted. mask: models beyond `unmasked_place` see a placeholder, and the
    client sees the value again. local: the request stays on this machine. block: it is refused.
    """

    pii: GuardrailMode = setting(
        "mask",
        "Personal data by its form: e-mail, telephone, cards, national numbers and more.",
    )
    secrets: GuardrailMode = setting("mask", "Keys, tokens and passwords.")
    injection: Literal["off", "flag", "local", "block"] = setting("flag", "Instructions that are slipped in.")
    injection_sources: tuple[InjectionSource, ...] = setting(
        ("tools",),
        "Whose words it looks through, at 0.6 us a word: what `tools` brought, `people` say, is `embedded`.",
    )
    topics: GuardrailMode = setting("off", "What [guardrails.denied_topics.NAME] lists.")
    leakage: Literal["off", "flag", "mask", "block"] = setting(
        "flag",
        "In replies: the system prompt, canaries, and secrets and personal data that nobody had asked with.",
    )
    custom: Mapping[str, GuardrailMode] = setting(
        MappingProxyType({}),
        "Guards of your own or of an extra, by their name among the kind `guards`.",
        key_validator=name,
    )
    unmasked_place: Place = setting("machine", "The furthest place that sees what is masked beyond it.")
    detected_data_class: Mapping[str, DataClass] = setting(
        MappingProxyType({}),
        "The class of data of a request in which a guard finds something; it only tightens.",
        key_validator=guardrail_name,
    )
    canaries: tuple[str, ...] = setting((), "Texts of your prompts that no reply may repeat.", secret=True)
    allowed_tools: tuple[str, ...] = setting(
        (),
        "Tools that may be offered and called, by name or as the beginning of names and a *; empty: all.",
        validator=tool_pattern,
    )
    spotlighting: bool = setting(
        False,
        "Tell models what tools have brought from what they were told. It changes prompts, and so their caches.",
    )
    datamarking: bool = setting(
        False,
        "Where `spotlighting` is on: also set a sign between all words of what tools have brought.",
    )
    add_canary: bool = setting(False, "Put a canary of its own behind each system prompt, for `leakage` to look for.")
    denied_topics: Mapping[str, TopicSettings] = setting(MappingProxyType({}), "", key_validator=name)
