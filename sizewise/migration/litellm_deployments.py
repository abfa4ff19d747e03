"""Reads the entries of `model_list`: each becomes a deployment, or the report says why not."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from sizewise.migration.litellm_connections import Connection, ConnectionReader
from sizewise.migration.litellm_facts import read_facts, read_limits, refuse_limits
from sizewise.migration.litellm_providers import find_target, read_provider_table
from sizewise.migration.litellm_values import looked_up, reference, whole
from sizewise.migration.migration_report import ConfigNode, MigrationReport
from sizewise.migration.settings_draft import Value

AUTO_ROUTER = "auto_router"


@dataclass(frozen=True, slots=True)
class Deployment:
    """`group`: the name that clients ask for. `node`: the entry in the file. `limits`: of the model.
    `order`: who is asked first has the least, who is asked last has none.
    """

    group: str
    connection: Connection
    model: str
    prefix: str
    node: ConfigNode
    facts: Mapping[str, Value] = field(default_factory=dict)
    limits: Mapping[str, Value] = field(default_factory=dict)
    weight: int = 1
    order: int | None = None

    @property
    def is_pattern(self) -> bool:
        return "*" in self.group


class DeploymentReader:
    """`credentials`: values of `credential_list` by name."""

    def __init__(
        self,
        report: MigrationReport,
        credentials: Mapping[str, ConfigNode],
        connections: ConnectionReader,
        environ: Mapping[str, str],
    ) -> None:
        self._report, self._credentials, self._environ = report, credentials, environ
        self._table = read_provider_table()
        self._connections = connections
        self.used_credentials = set[str]()

    def read(self, entry: ConfigNode) -> Deployment | None:
        report, params = self._report, entry.get("litellm_params")
        group, name = entry.text("model_name"), params.text("model") if params else ""
        if not group or params is None or not name:
            report.refused(entry, "an entry needs `model_name` and `litellm_params.model`")
            return None
        if variable := reference(name).removeprefix("env:"):
            name = looked_up(name, self._environ)
            if not name:
                report.refused(entry, f"its model is not known: set {variable}, and import again")
                return None
        target = find_target(self._table, name, params.text("custom_llm_provider"))
        if problem := target.reason or _pattern_problem(group, target.model):
            report.refused(entry, problem)
            return None
        params = self._with_credential(params)
        connection = self._connections.read(entry, params, target)
        if connection is None:
            return None
        if (credential := params.get("litellm_credential_name")) and str(credential.value) in self._credentials:
            report.carried(credential, "key and address of the provider")
            self.used_credentials.add(str(credential.value))
        report.carried(entry.get("model_name"), "its name here" if "*" in group else "[router] alias")
        if target.row.changed:
            report.changed(params.get("model"), target.row.changed)
        report.carried(params.get("model"), f"[providers] models: {target.model!r}")
        report.carried(params.get("custom_llm_provider"), "`endpoint` in [providers.NAME]")
        if "*" in group:
            refuse_limits(entry, params, report)
        deployment = Deployment(
            group=group,
            connection=connection,
            model=target.model,
            prefix=target.prefix,
            node=entry,
            facts=read_facts(entry, params, target, connection.preset, self._table, report),
            limits={} if "*" in group else read_limits(entry, params, report),
            weight=self._weight(params),
            order=self._order(params),
        )
        report.by_rules("litellm_params", params)
        return deployment

    def _with_credential(self, params: ConfigNode) -> ConfigNode:
        """With the values of the credential that it names; its own take precedence."""
        named = params.get("litellm_credential_name")
        credential = self._credentials.get(str(named.value)) if named else None
        if credential is None:
            self._report.refused(named, "there is no such credential in `credential_list`")
            return params
        return replace(params, value={**credential.value, **params.value})

    def _weight(self, params: ConfigNode) -> int:
        node = params.get("weight")
        count = whole(node.value) if node else None
        if node and count and count <= 1_000:
            self._report.carried(node, "[[providers.NAME.replicas]] weight")
            return count
        self._report.refused(node, "not a whole number from 1 to 1000")
        return 1

    def _order(self, params: ConfigNode) -> int | None:
        node = params.get("order")
        number = whole(node.value) if node else None
        if number is None:
            self._report.refused(node, "not a whole number")
        else:
            self._report.carried(node, "its place in `models` of the policy")
        return number


def _pattern_problem(group: str, model: str) -> str:
    if "*" not in group and "*" not in model:
        return ""
    if model != "*":
        return "all names of a pattern go to one model: give that model an alias for each name"
    if group != "*" and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*/\*", group):
        return "patterns are * and PROVIDER/*"
    return ""
