"""OpenTelemetry's environment variables as settings of the OTLP export; what the settings file says takes precedence.

Source: https://opentelemetry.io/docs/specs/otel/protocol/exporter/ and .../configuration/sdk-environment-variables/
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from urllib.parse import unquote

from sizewise.errors import ConfigError
from sizewise.settings.server import OtlpSettings
from sizewise.settings.validators import url

ENDPOINT, HEADERS = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_HEADERS"
SERVICE_NAME, RESOURCE = "OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"


def with_otel_variables(file: OtlpSettings, env: Mapping[str, str]) -> OtlpSettings:
    """Raises ConfigError. Secrets stay references: only their name is kept."""
    attributes = dict(_pairs(RESOURCE, env.get(RESOURCE, "")))
    named = env.get(SERVICE_NAME, "") or attributes.pop("service.name", "")
    endpoint = file.endpoint
    if not endpoint and (said := env.get(ENDPOINT, "").strip().rstrip("/")):
        try:
            endpoint = url(said)
        except ValueError as error:
            raise ConfigError(f"{ENDPOINT} {error}", "Write it as http://localhost:4318.") from None
    return replace(
        file,
        endpoint=endpoint,
        headers=file.headers or (f"env:{HEADERS}" if endpoint and env.get(HEADERS) else ""),
        service_name=file.service_name or named or "sizewise",
        resource=MappingProxyType({**attributes, **file.resource}),
    )


def _pairs(variable: str, text: str) -> list[tuple[str, str]]:
    found = []
    for pair in filter(None, map(str.strip, text.split(","))):
        name, sign, value = pair.partition("=")
        if not sign or not name.strip():
            raise ConfigError(f"{variable} is not valid", "Write it as name=value, between commas.")
        found.append((name.strip(), unquote(value.strip())))
    return found
