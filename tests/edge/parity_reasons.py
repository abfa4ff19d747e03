"""Why a Worker's answer may differ from the gateway's: each difference has one of these reasons, or it is a fault."""

from __future__ import annotations

from collections.abc import Mapping

from tests.edge.parity import Difference

REASONS: Mapping[str, str] = {
    "circuit breakers": "The gateway remembers that a model failed, and for some seconds asks it less or not at all. A "
    "Worker remembers nothing between requests: each one tries anew.",
    "words of an error": "The code is the same; the words differ where the gateway repeats what its JSON reader says, "
    "names a provider's address, or adds the trace that its log has.",
    "cost of a failure": "What a failed answer cost is `unknown` to the gateway if a model had begun; a Worker counts "
    "nothing for it. It says no cost of a request whose model does not exist.",
    "estimated tokens": "Where a model reports no usage, tokens are estimated: of the answer with its values in the "
    "gateway, with its placeholders at the edge.",
    "overlapping findings": "Where two guards find the same text, the gateway counts the second as flagged.",
    "answers that break a schema": "Where a model's answer to a decision breaks its schema twice, the gateway asks the "
    "next model of the policy; a Worker ends with the same error. Where a model is named, both ask it twice.",
    "parameter of a number": "A number that is too large is refused before its field is known.",
}


def reason(difference: Difference) -> str:
    """The key in REASONS; empty: there is none."""
    case, what, gateway, edge = difference.case, difference.what, difference.gateway, difference.edge
    flaky = case.name.startswith(("up/broken", "up/reset '", "up/busy", "auto:failing", "auto:order"))
    if flaky and what in ("status", "code", "sent", "message", "x-sizewise-why", "x-sizewise-attempts", "sizewise"):
        return "circuit breakers"
    if what == "message" and gateway and edge:
        return "words of an error"
    if what == "x-sizewise-cost-usd" and gateway in ("unknown", "0") and edge in ("0", None):
        return "cost of a failure"
    if what == "sizewise" and _but_cost(gateway) == _but_cost(edge):
        return "estimated tokens"
    has_several = case.name in ('{"model": null}', '{"model": "auto"}', '{"model": "auto:local"}')
    if case.group == "decisions" and has_several and what in ("sent", "x-sizewise-attempts", "x-sizewise-cost-usd"):
        return "answers that break a schema"
    if what == "x-sizewise-guards":
        return "overlapping findings"
    return "parameter of a number" if what == "param" and gateway == "seed" else ""


def _but_cost(shown: object) -> object:
    assert isinstance(shown, dict)
    return {name: value for name, value in shown.items() if name != "cost_usd"}
