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

PolicyGuardrailMode = Literal["off", "flag", "mark", "mask", "local", "block"]
"""Of a policy. `mark` is for `injection` alone."""


BUILT_IN_GUARDRAILS = ("pii", "secrets", "injection", "topics", "leakage")
"""The built-in guardrails; others are named in [guardrails.custom]."""


CUSTOM_PREFIX = "custom."
"""What comes before the name of a custom guardrail, wherever a key is the name of any guardrail."""


KNOWN_GUARDRAILS = f"Known: {', '.join(BUILT_IN_GUARDRAILS)}."


def guardrail_name(text: str) -> str:
    if text not in BUILT_IN_GUARDRAILS and not text.startswith(CUSTOM_PREFIX):
        raise ValueError(
            f"there is no guardrail named {text!r}. {did_you_mean(text, BUILT_IN_GUARDRAILS) or KNOWN_GUARDRAILS} A "
            f"custom one is written as {CUSTOM_PREFIX}NAME.",
        )
    return text


def tool_pattern(text: str) -> str:
    if not text.strip() or "*" in text[:-1]:
        raise ValueError(f"{text[:100]!r} is neither the name of a tool nor a prefix with a *")
    return text


@dataclass(frozen=True, slots=True)
class TopicSettings:
    """A denied topic: matches text that contains a phrase of `deny` and none of `allow`."""

    deny: tuple[str, ...] = setting((), "Words and phrases of the topic, ignoring case and accents.")
    allow: tuple[str, ...] = setting((), "Words and phrases that rule the topic out.")


@dataclass(frozen=True, slots=True)
class ModerationSettings:
    """The model that judges texts at `/v1/moderations`, besides the guardrails."""

    model: str = setting(
        "",
        "A model with the task `moderate`, or a chat model, a role or `auto:POLICY`, which is asked to score the API's "
        "categories. Empty: the first model with the task `moderate`; without one, the guardrails alone.",
    )


@dataclass(frozen=True, slots=True)
class GuardrailsSettings:
    """What to detect in requests and replies, and the action on a finding.

    off: do not look. flag: record it. mask: models beyond `unmasked_place` see a placeholder, and the client sees the
    original value. local: the request stays on this machine. block: refuse the request. mark, of `injection` alone:
    tool results reach the model as marked data.
    """

    pii: GuardrailMode = setting(
        "mask",
        "PII by format: email addresses, phone numbers, payment cards, national ID numbers and more.",
    )
    secrets: GuardrailMode = setting("mask", "API keys, tokens and passwords.")
    injection: Literal["off", "flag", "mark", "local", "block"] = setting(
        "flag",
        "Prompt injection. `mark`: the tool results of a request with a finding are marked as data, between all words.",
    )
    injection_sources: tuple[InjectionSource, ...] = setting(
        ("tools",),
        "Which content to scan for injection, at 0.6 us per word: tool results (`tools`), user messages (`people`), "
        "inputs of embedding requests (`embedded`).",
    )
    topics: GuardrailMode = setting("off", "Topics listed in [guardrails.denied_topics.NAME].")
    leakage: Literal["off", "flag", "mask", "block"] = setting(
        "flag",
        "In replies: the system prompt, canaries, and secrets and PII that the request did not contain.",
    )
    custom: Mapping[str, GuardrailMode] = setting(
        MappingProxyType({}),
        "Custom guardrails, by their name in the plug-in kind `guardrails`.",
        key_validator=name,
    )
    unmasked_place: Place = setting("machine", "Farthest place that receives unmasked values.")
    detected_data_class: Mapping[str, DataClass] = setting(
        MappingProxyType({}),
        "Data class of a request with a finding, per guardrail. It can only make the class stricter.",
        key_validator=guardrail_name,
    )
    canaries: tuple[str, ...] = setting((), "Strings from your prompts that no reply may repeat.", secret=True)
    allowed_tools: tuple[str, ...] = setting(
        (),
        "Tools that may be offered and called, by name or as a prefix with a *; empty: all.",
        validator=tool_pattern,
    )
    spotlighting: bool = setting(
        False,
        "Mark tool results as untrusted in prompts. Changes prompts, and so misses prompt caches.",
    )
    datamarking: bool = setting(
        False,
        "With `spotlighting`: also put a marker between all words of tool results.",
    )
    add_canary: bool = setting(False, "Append a generated canary to each system prompt, for `leakage` to detect.")
    denied_topics: Mapping[str, TopicSettings] = setting(MappingProxyType({}), "", key_validator=name)
