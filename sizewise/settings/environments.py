"""Settings of environments: which releases each may receive, and who must agree; keys name their environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sizewise.errors import did_you_mean
from sizewise.settings.canary import CanarySettings, canary_contradictions
from sizewise.settings.toml_reader import setting
from sizewise.settings.validators import name

PUBLISHED = "published"
"""As `from`: what is published is live at once."""
ANY = "any"
"""As `from`: any release that is saved."""
DEFAULT_ENVIRONMENT = "prod"
"""Of keys that name none; where there is none of this name, the last one of the file."""


@dataclass(frozen=True, slots=True)
class EnvironmentSettings:
    """An environment. Requests are answered by the release that is live in the environment of their key."""

    from_: str = setting(
        "",
        "What may become live: the release that is live in the environment of this name; `any` saved release; or "
        "`published`: what is published is live at once. Empty: the environment before it; in the first, `published`.",
    )
    approve: int = setting(0, "People, other than who planned it, who must approve a release.", minimum=0, maximum=10)
    gate: tuple[str, ...] = setting(
        (),
        "Evals of this folder that a release must pass, against what is live: `sizewise release gate PLAN` runs them.",
    )
    outcomes: str = setting(
        "",
        "Folder of recorded outcomes (`sizewise route outcomes`): plans replay changed policies on them.",
    )
    canary: CanarySettings = setting(CanarySettings(), "")


Environments = Mapping[str, EnvironmentSettings]


def environment_name(text: str) -> str:
    if text in (PUBLISHED, ANY):
        raise ValueError(f"{text!r} cannot be the name of an environment: it is a value of `from`")
    return name(text)


def source_of(environments: Environments, environment: str) -> str:
    """PUBLISHED, ANY, or the name of an environment."""
    said = environments[environment].from_
    if said:
        return said
    names = list(environments)
    place = names.index(environment)
    return names[place - 1] if place else PUBLISHED


def default_environment(environments: Environments) -> str:
    """Empty if there are none."""
    return DEFAULT_ENVIRONMENT if DEFAULT_ENVIRONMENT in environments else next(reversed(list(environments)), "")


def environment_contradictions(environments: Environments) -> list[str]:
    wrong = []
    for each in environments:
        wrong += canary_contradictions(f"environments.{each}.canary", environments[each].canary)
        source, path = source_of(environments, each), [each]
        while source not in (PUBLISHED, ANY):
            if source not in environments:
                if len(path) == 1:  # otherwise the other environment says so
                    near = did_you_mean(source, [*environments, PUBLISHED, ANY])
                    wrong.append(f"environments.{each}.from: there is no environment {source!r}. {near}".rstrip())
                break
            if source in path:
                wrong.append(f"environments.{each}.from: {' <- '.join([*path, source])} is a circle")
                break
            path.append(source)
            source = source_of(environments, source)
    return wrong
