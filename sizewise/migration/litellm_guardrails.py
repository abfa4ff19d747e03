"""What becomes of LiteLLM's guardrails: an action for each kind of finding, where ours finds the same."""

from __future__ import annotations

from collections.abc import Mapping

from sizewise.migration.migration_report import ConfigNode, MigrationReport
from sizewise.migration.settings_draft import SettingsDraft

KINDS: Mapping[str, tuple[str, str]] = {
    "presidio": ("pii", "mask"),
    "hide-secrets": ("secrets", "mask"),
    "hide_secrets": ("secrets", "mask"),
    "lakera": ("injection", "block"),
    "lakera_v2": ("injection", "block"),
    "lakera_prompt_injection": ("injection", "block"),
    "prompt_injection": ("injection", "block"),
    "llamaguard_detections": ("injection", "flag"),
}
"""Guardrail or callback -> ours, and its action."""
ELSEWHERE = "a service of others judges the texts: write a plug-in of the kind `guardrails`"
CODE = "no code of a configuration is run: write a plug-in of the kind `guardrails`"
OWN_WORDS = frozenset({"litellm_content_filter", "tool_permission"})
WORDS = "lists are written anew: topics, allowed tools, `pii`, `secrets` and `injection` of [guardrails]"
NAMES = frozenset({"PERSON", "LOCATION", "NRP"})
"""Entities of Presidio that the guardrail `names` finds."""


def read_guardrails(root: ConfigNode, draft: SettingsDraft, report: MigrationReport) -> None:
    section = root.get("guardrails")
    for each in section.items() if section else ():
        params = each.get("litellm_params")
        kind = params.text("guardrail") if params else ""
        if params is None or kind not in KINDS:
            report.refused(each, CODE if "." in kind else WORDS if kind in OWN_WORDS else ELSEWHERE)
            continue
        _turn_on(kind, each, params, draft, report)
    settings = root.get("litellm_settings")
    old = settings.get("guardrails") if settings else None
    for each in old.items() if old else ():
        for name, node in each.fields():
            callbacks = node.get("callbacks")
            known = [one for one in (callbacks.items() if callbacks else ()) if str(one.value) in KINDS]
            for one in known:
                ours, action = KINDS[str(one.value)]
                draft.table("guardrails")[ours] = action
                report.changed(one, f"[guardrails] {ours} = {action!r}")
            if not known:
                report.refused(node, f"{name[:60]!r} is not known: {ELSEWHERE}")
            report.changed(node.get("default_on"), "guardrails are on for all requests, unless a policy says otherwise")
            report.changed(node.get("enabled_roles"), "[guardrails] injection_sources")


def _turn_on(
    kind: str, guardrail: ConfigNode, params: ConfigNode, draft: SettingsDraft, report: MigrationReport
) -> None:
    ours, action = KINDS[kind]
    entities = params.get("pii_entities_config")
    for name, node in entities.fields() if entities else ():
        wanted = "block" if str(node.value).upper() == "BLOCK" else "mask"
        guard = "names" if name in NAMES else "pii"
        if guard == "names":
            draft.table("guardrails", "custom")["names"] = wanted
        else:
            draft.table("guardrails")["pii"] = wanted
        report.changed(node, f"[guardrails] {guard} = {wanted!r}, for all of its entities")
    if entities is None:
        draft.table("guardrails")[ours] = action
    report.changed(
        guardrail.get("guardrail_name"), f"[guardrails] {ours}: on for all requests, unless a policy says otherwise"
    )
    report.changed(params.get("guardrail"), f"[guardrails] {ours}, found here, without another service")
    report.changed(params.get("mode"), "requests before the model, replies as they come")
    for key in ("presidio_language", "presidio_analyzer_api_base", "presidio_anonymizer_api_base", "output_parse_pii"):
        report.changed(params.get(key), "found here; values are put back into the reply")
    for key in ("api_key", "api_base", "default_on"):
        report.changed(params.get(key), "not needed: no other service is asked")
