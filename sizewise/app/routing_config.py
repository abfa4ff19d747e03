"""Builds the parts of routing that settings alone decide: policies, aliases, judges, data policy, session affinity."""

from __future__ import annotations

from sizewise.data_class import DataClass, Place
from sizewise.errors import ConfigError, ModelNotFound
from sizewise.evals.policy_loader import load_policy
from sizewise.model_card import MODEL_KINDS, ModelCard
from sizewise.plugins import PluginRegistry
from sizewise.routing.data_policy import DataPolicy, DataRule
from sizewise.routing.judges.chain import JudgeChain
from sizewise.routing.model_aliases import ModelAliases
from sizewise.routing.policy import Policy
from sizewise.routing.session_affinity import SessionAffinity
from sizewise.routing.session_store import SessionStore
from sizewise.settings.load import Settings

RULE_JUDGES = ("rules", "calls", "code", "language")
SIGNAL_JUDGES = ("consistency", "confidence")


def build_policies(
    settings: Settings,
    cards: tuple[ModelCard, ...],
    plugins: PluginRegistry,
) -> tuple[dict[str, Policy], ModelAliases]:
    """The policies by name, and the aliases that resolve model names to plans. Raises ConfigError."""
    policies = {name: load_policy(name, wanted, plugins) for name, wanted in settings.policies.items()}
    router = settings.router
    names = ModelAliases(
        cards,
        policies,
        default_policy=router.policy,
        small=router.small,
        large=router.large,
        aliases=router.alias,
    )
    check_moderation_model(settings.moderation.model, names)
    return policies, names


def build_judge(plugins: PluginRegistry) -> JudgeChain:
    return JudgeChain(tuple(plugins("judges", name) for name in (*RULE_JUDGES, *SIGNAL_JUDGES)))


def build_rule_judge(plugins: PluginRegistry) -> JudgeChain:
    """The judges that need only the reply. A certified policy uses them as a veto."""
    return JudgeChain(tuple(plugins("judges", name) for name in RULE_JUDGES))


def build_session_affinity(settings: Settings, sessions: SessionStore) -> SessionAffinity:
    return SessionAffinity(sessions, settings.router.session_ttl_s, settings.router.switch_cost)


def reach_by_data_class(settings: Settings) -> dict[DataClass, Place]:
    asked = settings.egress
    return {"public": asked.public, "internal": asked.internal, "confidential": asked.confidential}


def build_data_policy(settings: Settings) -> DataPolicy:
    projects = {name: DataRule(each.data_class, each.online == "allow") for name, each in settings.projects.items()}
    policies = {name: DataRule(None, each.online == "allow", each.egress) for name, each in settings.policies.items()}
    said = {name: rule for name, rule in policies.items() if rule != DataRule()}
    return DataPolicy(reach_by_data_class(settings), settings.router.data_class, projects, said)


def check_moderation_model(name: str, names: ModelAliases) -> None:
    """Raises ConfigError unless `name` is empty, a role, or a model that can judge texts."""
    if not name or name in names.role_names:
        return
    try:
        card = names.find_card(name)
    except ModelNotFound as error:
        told = f"`moderation.model` is {name!r}, but there is no such model"
        raise ConfigError(told, error.hint or "list the models: sizewise models list") from error
    if card.task not in ("chat", "moderate"):
        told = f"`moderation.model` is {name!r}, which is {MODEL_KINDS[card.task]}"
        raise ConfigError(told, "name a chat model, or one with the task `moderate`")
