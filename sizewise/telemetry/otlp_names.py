"""Names of OpenTelemetry's conventions for generative AI, by the version that a collector expects; encodes nothing.

Source: https://github.com/open-telemetry/semantic-conventions-genai, where all of them are in development. Cost has no
registered attribute, so it has ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from sizewise.settings.server import OtlpNames


@dataclass(frozen=True, slots=True)
class GenAiNames:
    """What has another name in another version."""

    cache_write: str


VERSIONS: Mapping[OtlpNames, GenAiNames] = MappingProxyType(
    {
        "2026-04": GenAiNames(cache_write="gen_ai.usage.cache_creation.input_tokens"),
        "main": GenAiNames(cache_write="gen_ai.usage.cache_write.input_tokens"),
    }
)
