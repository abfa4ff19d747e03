"""Settings of secrets that come from commands (`exec:` references)."""

from __future__ import annotations

from dataclasses import dataclass

from sizewise.settings.toml_reader import setting


@dataclass(frozen=True, slots=True)
class SecretsSettings:
    """Secrets from a secret manager, by references `exec:COMMAND`."""

    refresh_s: float = setting(
        60.0, "Seconds until a command runs again; its last answer is used until then.", minimum=1, maximum=86_400
    )
