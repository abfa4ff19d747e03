"""Versions of flows by environment, as commands show them: which one answers where; asks no server."""

from __future__ import annotations

from collections.abc import Sequence

from sizewise.cli.operations import AnsweringFlow, EnvironmentFlows

SHORT = 12
"""Digits of a version shown to people."""


def flow_in(environment: EnvironmentFlows, name: str) -> AnsweringFlow | None:
    """None: the environment does not have the flow."""
    return next((each for each in environment.flows if each.name == name), None)


def heading(environment: EnvironmentFlows) -> str:
    return environment.environment.upper() + (" (DEFAULT)" if environment.is_default else "")


def version_cell(environment: EnvironmentFlows, name: str) -> str:
    """The version that answers, and that of a canary where it is another one."""
    found = flow_in(environment, name)
    version = found.version if found is not None else None
    cell = version[:SHORT] if version else "-"
    if found is not None and environment.canary and found.canary_version != version:
        canary = found.canary_version[:SHORT] if found.canary_version else "none"
        cell += f", canary {canary} {100 * environment.share:g} %"
    return cell


def places_of(environments: Sequence[EnvironmentFlows], name: str, version: str) -> list[str]:
    """Where this version answers: `prod`, or `canary of prod`."""
    found: list[str] = []
    for each in environments:
        flow = flow_in(each, name)
        if flow is not None and flow.version == version:
            found.append(each.environment)
        elif flow is not None and flow.canary_version == version:
            found.append(f"canary of {each.environment}")
    return found


def other_versions(environments: Sequence[EnvironmentFlows], name: str, version: str) -> list[tuple[str, str]]:
    """Environment and version wherever another one than `version` answers; the version is empty where none does."""
    versions = [(each.environment, flow_in(each, name)) for each in environments]
    answering = [(environment, flow.version or "" if flow is not None else "") for environment, flow in versions]
    return [(environment, each) for environment, each in answering if each != version]


def other_answers(environments: Sequence[EnvironmentFlows], name: str, version: str) -> list[str]:
    """A line for each environment in which another version answers, or none."""
    return [
        f"{environment} answers with {each[:SHORT]}: sizewise release promote {environment}"
        if each
        else f"{environment} does not have it yet: sizewise release promote {environment}"
        for environment, each in other_versions(environments, name, version)
    ]


def once_live(environments: Sequence[EnvironmentFlows]) -> str:
    """When what is published now answers: `at once in staging, and in prod once it is promoted`."""
    follow = ", ".join(each.environment for each in environments if each.release is None)
    others = ", ".join(each.environment for each in environments if each.release is not None)
    later = f"in {others} once it is promoted" if others else ""
    return " and ".join(filter(None, (f"at once in {follow}" if follow else "", later)))
