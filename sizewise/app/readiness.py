"""Readiness of an application: whether a model can answer, and what is impaired; changes nothing."""

from __future__ import annotations

from sizewise.app.application import Application
from sizewise.app.resources import Resources


def background_problems(resources: Resources) -> list[str]:
    """What is impaired in the work that this process does without a request: exports, messages, periodic tasks."""
    services = resources.services
    return [
        *filter(None, (services.otlp.problem, services.machine_reports.problem)),
        *services.deliveries.impaired(),
        *resources.periodic_tasks.impaired(),
    ]


def check_readiness(app: Application) -> tuple[bool, list[str]]:
    """Whether any model can answer, and each impaired component with its reason."""
    resources = app.resources
    reasons = [(card.name, app.connections.unavailable_reason(card)) for card in app.cards]
    impaired = [
        *(f"{name} {reason}" for name, reason in reasons if reason),
        *filter(None, (resources.services.problem,)),
        *resources.sibling_problems(),
        *resources.services.quality_monitor.impaired(app.monitored_policies),
        *background_problems(app.resources),
        *resources.mcp_servers.impaired(),
        *(resources.flow_files.impaired if resources.flow_files else ()),
    ]
    return any(not reason for _, reason in reasons), impaired
