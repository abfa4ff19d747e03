"""Settings of a canary: how a release that is new in an environment gets its share of requests."""

from __future__ import annotations

from dataclasses import dataclass

from sizewise.settings.toml_reader import setting


@dataclass(frozen=True, slots=True)
class CanarySettings:
    """A canary: a release that answers a share of the requests before it answers all."""

    steps: tuple[float, ...] = setting(
        (), "Shares of requests, as [0.05, 0.25]; empty: a release answers all requests at once.", minimum=0, maximum=1
    )
