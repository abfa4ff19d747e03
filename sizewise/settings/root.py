"""The root settings model of sizewise.toml; the docs and the JSON Schema are generated from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from sizewise.data_class import Place
from sizewise.settings.agents import AgentSettings, MemorySettings
from sizewise.settings.alerts import AlertSettings, ReceiverSettings, SloSettings
from sizewise.settings.annotation import AnnotationSettings
from sizewise.settings.auth import LoginSessionsSettings, OidcSettings, RoleSettings, SignInSettings
from sizewise.settings.batches import BatchesSettings
from sizewise.settings.catalog import CatalogSettings
from sizewise.settings.edge import EdgeSettings
from sizewise.settings.environments import EnvironmentSettings, environment_name
from sizewise.settings.evals import EvalsSettings
from sizewise.settings.git import GitSettings
from sizewise.settings.graphql import GraphQLSettings
from sizewise.settings.guardrails import GuardrailsSettings, ModerationSettings
from sizewise.settings.http_allowlist import HttpHostSettings
from sizewise.settings.jobs import JobsSettings
from sizewise.settings.knowledge import KnowledgeSettings
from sizewise.settings.learning import LearnSettings
from sizewise.settings.limits import BudgetsSettings, LimitsSettings, scope
from sizewise.settings.logs import LogsSettings
from sizewise.settings.models import LocalSettings, ModelSettings, ProviderSettings
from sizewise.settings.routing import (
    EgressSettings,
    PolicySettings,
    ProjectSettings,
    RouterSettings,
    ShadowSettings,
    SizesSettings,
)
from sizewise.settings.secrets import SecretsSettings
from sizewise.settings.server import NetworkSettings, OtlpSettings, ServerSettings, TriggerSettings, WebhookSettings
from sizewise.settings.storage import (
    EncryptionSettings,
    FilesSettings,
    FlowsSettings,
    IdempotencySettings,
    RecordsSettings,
    ResponseCacheSettings,
    StoredResponsesSettings,
    StoreSettings,
)
from sizewise.settings.toml_reader import setting
from sizewise.settings.tools import McpServerSettings, SandboxSettings
from sizewise.settings.validators import model_name, name
from sizewise.settings.web_search import WebSearchSettings


@dataclass(frozen=True, slots=True)
class FileSettings:
    """sizewise.toml. All tables and keys are optional."""

    server: ServerSettings = setting(ServerSettings(), "")
    router: RouterSettings = setting(RouterSettings(), "")
    egress: EgressSettings = setting(EgressSettings(), "")
    policies: Mapping[str, PolicySettings] = setting(
        MappingProxyType({"default": PolicySettings()}),
        "",
        key_validator=name,
    )
    projects: Mapping[str, ProjectSettings] = setting(MappingProxyType({}), "", key_validator=name)
    providers: Mapping[str, ProviderSettings] = setting(MappingProxyType({}), "", key_validator=name)
    models: Mapping[str, ModelSettings] = setting(MappingProxyType({}), "", key_validator=model_name)
    sizes: SizesSettings = setting(SizesSettings(), "")
    local: LocalSettings = setting(LocalSettings(), "")
    catalog: CatalogSettings = setting(CatalogSettings(), "")
    records: RecordsSettings = setting(RecordsSettings(), "")
    stored_responses: StoredResponsesSettings = setting(StoredResponsesSettings(), "")
    files: FilesSettings = setting(FilesSettings(), "")
    batches: BatchesSettings = setting(BatchesSettings(), "")
    evals: EvalsSettings = setting(EvalsSettings(), "")
    flows: FlowsSettings = setting(FlowsSettings(), "")
    idempotency: IdempotencySettings = setting(IdempotencySettings(), "")
    response_cache: ResponseCacheSettings = setting(ResponseCacheSettings(), "")
    shadow: ShadowSettings = setting(ShadowSettings(), "")
    learn: LearnSettings = setting(LearnSettings(), "")
    guardrails: GuardrailsSettings = setting(GuardrailsSettings(), "")
    moderation: ModerationSettings = setting(ModerationSettings(), "")
    roles: Mapping[str, RoleSettings] = setting(MappingProxyType({}), "", key_validator=name)
    login_sessions: LoginSessionsSettings = setting(LoginSessionsSettings(), "")
    sign_in: SignInSettings = setting(SignInSettings(), "")
    oidc: Mapping[str, OidcSettings] = setting(MappingProxyType({}), "", key_validator=name)
    encryption: EncryptionSettings = setting(EncryptionSettings(), "")
    secrets: SecretsSettings = setting(SecretsSettings(), "")
    limits: Mapping[str, LimitsSettings] = setting(MappingProxyType({}), "", key_validator=scope)
    budgets: BudgetsSettings = setting(BudgetsSettings(), "")
    database: StoreSettings = setting(StoreSettings(), "")
    knowledge: Mapping[str, KnowledgeSettings] = setting(MappingProxyType({}), "", key_validator=name)
    graphql: GraphQLSettings = setting(GraphQLSettings(), "")
    sandbox: SandboxSettings = setting(SandboxSettings(), "")
    jobs: JobsSettings = setting(JobsSettings(), "")
    git: GitSettings = setting(GitSettings(), "")
    agents: Mapping[str, AgentSettings] = setting(MappingProxyType({}), "", key_validator=name)
    memory: MemorySettings = setting(MemorySettings(), "")
    mcp: Mapping[str, McpServerSettings] = setting(MappingProxyType({}), "", key_validator=name)
    triggers: Mapping[str, TriggerSettings] = setting(MappingProxyType({}), "", key_validator=name)
    hosts: Mapping[str, HttpHostSettings] = setting(MappingProxyType({}), "", key_validator=name)
    webhooks: Mapping[str, WebhookSettings] = setting(MappingProxyType({}), "", key_validator=name)
    alerts: Mapping[str, AlertSettings] = setting(MappingProxyType({}), "", key_validator=name)
    slo: Mapping[str, SloSettings] = setting(MappingProxyType({}), "", key_validator=name)
    annotation: Mapping[str, AnnotationSettings] = setting(MappingProxyType({}), "", key_validator=name)
    receivers: Mapping[str, ReceiverSettings] = setting(MappingProxyType({}), "", key_validator=name)
    environments: Mapping[str, EnvironmentSettings] = setting(MappingProxyType({}), "", key_validator=environment_name)
    edge: EdgeSettings = setting(EdgeSettings(), "")
    logs: LogsSettings = setting(LogsSettings(), "")
    otlp: OtlpSettings = setting(OtlpSettings(), "")
    web_search: WebSearchSettings = setting(WebSearchSettings(), "")
    network: NetworkSettings = setting(NetworkSettings(), "")

    @property
    def outbound_urls(self) -> list[tuple[str, Place]]:
        """The URLs called besides model providers, and where they run."""
        hooks = [(hook.url, hook.place) for hook in self.webhooks.values()]
        hooks += [(server.url, server.place) for server in self.mcp.values() if server.url]
        hooks += [(host.url, host.place) for host in self.hosts.values() if host.url]
        hooks += [(self.otlp.endpoint, self.otlp.place)] if self.otlp.endpoint else []
        hooks += [(self.edge.origin, "anyone")] if self.edge.machine and self.edge.origin else []
        if self.web_search.url:
            hooks.append((self.web_search.url, self.web_search.place))
            hooks += [(site, "anyone") for site in self.web_search.fetch_urls]
        return hooks + [(url, row.place) for row in self.oidc.values() for url in (row.issuer, *row.origins)]
