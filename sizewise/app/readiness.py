"""Readiness of an application: whether a model can answer, and what is impaired; changes nothing."""

from __future__ import annotations

from sizewise.app.application import Application


def check_readiness(app: Application) -> tuple[bool, list[str]]:
    """Whether any model can answer, and each impaired component with its reason."""
    resources = app.resources
    reasons = [(card.name, app.connections.unavailable_reason(card)) for card in app.cards]
    impaired = [
        *(f"{name} {reason}" for name, reason in reasons if reason),
        *filter(None, (resources.services.problem, resources.sibling_problem())),
        *resources.services.quality_monitor.impaired(app.monitored_policies),
        *filter(None, (resources.services.otlp.problem,)),
        *resources.services.deliveries.impaired(),
        *resources.periodic_tasks.impaired(),
        *resources.mcp_servers.impaired(),
        *(resources.flow_files.impaired if resources.flow_files else ()),
    ]
    return any(not reason for _, reason in reasons), impaired
