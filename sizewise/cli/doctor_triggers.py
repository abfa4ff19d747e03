"""The check of `sizewise doctor` for [triggers]: flow and signing secret of each inbound webhook; sends nothing."""

from __future__ import annotations

from sizewise.cli.doctor_checks import CheckResult
from sizewise.errors import SizewiseError
from sizewise.notifications.webhook_signatures import require_secrets
from sizewise.settings.load import Settings, resolve_secret
from sizewise.settings.server import TriggerSettings


def check_triggers(settings: Settings) -> list[CheckResult]:
    """One finding for each trigger. A secret in a variable is looked for in the environment of this command."""
    return [_finding(name, each) for name, each in settings.triggers.items()]


def _finding(name: str, trigger: TriggerSettings) -> CheckResult:
    address = f"/hooks/flows/{name}"
    if not trigger.flow:
        return CheckResult(
            "triggers", False, f"{address} starts no flow", f'set one: flow = "..." in [triggers.{name}]'
        )
    try:
        require_secrets(resolve_secret(trigger.secret).split(), name)
    except SizewiseError as error:
        return CheckResult("triggers", False, f"{address}: {error.message}", error.hint)
    return CheckResult("triggers", True, f"{address} starts {trigger.flow} of the project {trigger.project!r}")
