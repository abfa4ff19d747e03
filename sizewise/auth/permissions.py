"""Permissions: the actions, the built-in roles and custom roles; the source of the matrix in the docs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from sizewise.errors import BadRequest, ConfigError, did_you_mean

ACTIONS: Mapping[str, str] = MappingProxyType(
    {
        "ask": "Call models, and rate your own answers.",
        "read_models": "See models, their facts, and how a request would be routed.",
        "read_records": "See records, savings and measured quality.",
        "read_contents": "Read stored prompts and replies.",
        "read_metrics": "Read /metrics.",
        "read_keys": "See API keys, never their secrets.",
        "read_users": "See users, their roles and invitations.",
        "read_budgets": "See budgets and spending.",
        "read_releases": "See releases: the names and hashes of their parts.",
        "read_evals": "See evals, their runs, data sets and scorers, without inputs and answers.",
        "read_audit": "Read and export the audit log.",
        "own_keys": "Create, rotate and revoke personal keys, with no more than your own permissions.",
        "manage_keys": "Create, rotate and revoke all keys.",
        "manage_users": "Invite users, grant roles no higher than your own, disable users.",
        "manage_budgets": "Set budgets and rate limits.",
        "serve_edge": "Be an edge: report what it answered, and get its release. For a Worker or a small machine.",
        "annotate": "Label the items of annotation queues, with their inputs and answers.",
        "run_evals": "Start and cancel runs of evals.",
        "run_tuning": "Start and cancel the training of small models on this machine.",
        "approve": "Decide what waits for a person in flow runs and agents, except in your own runs.",
        "manage_flows": "Publish and withdraw flows, and see their content.",
        "manage_releases": "Save releases, and put them into environments.",
        "manage_evals": "Import data sets, and see where people and judges disagree.",
        "manage_policies": "Restore a policy after a missed target, and rate other callers' answers.",
        "manage_knowledge": "Add and remove documents of knowledge bases, and see all of them.",
        "manage_alerts": "Silence alerts, and send test messages to receivers.",
        "manage_settings": "Reload the settings.",
        "manage_encryption": "Rotate the encryption keys of all organizations.",
        "erase_records": "Delete the stored data of a key or user.",
        "create_organizations": "Create organizations; only the admin token in the home folder has it.",
    },
)
"""Each permission with what it allows, in one sentence."""

_READ_ACTIONS = (
    "read_models",
    "read_records",
    "read_metrics",
    "read_keys",
    "read_users",
    "read_budgets",
    "read_releases",
    "read_evals",
)
_MANAGE_ACTIONS: Sequence[str] = (
    *(action for action in ACTIONS if action.startswith("manage_")),
    "approve",  # who publishes a flow can remove its approvals
    "own_keys",
    "erase_records",
)

ACTION_GROUPS: Mapping[str, frozenset[str]] = MappingProxyType(
    {"read": frozenset(_READ_ACTIONS), "manage": frozenset(_MANAGE_ACTIONS)},
)
"""Names for several permissions at once. A word that appears in stored settings or in the audit log keeps its meaning.
"""

ORGANIZATION_ACTIONS = frozenset({"read_audit"})
"""These apply beyond one project: a caller limited to a project never has them."""
SERVER_ACTIONS = frozenset(
    {"read_metrics", "manage_settings", "manage_encryption", "create_organizations", "run_tuning"}
)
"""These apply to the whole server: also never in another organization than the first."""
DEFAULT_TENANT = "local"

_DEVELOPER = frozenset(
    {"ask", "read_models", "read_records", "read_budgets", "read_releases", "read_evals", "run_evals", "own_keys"}
)
_EDITOR: frozenset[str] = _DEVELOPER | {
    *("read_contents", "read_metrics", "read_keys", "approve", "manage_flows", "manage_policies", "manage_knowledge"),
    "manage_alerts",
    "manage_releases",
    "manage_evals",
    "annotate",
}
_VIEWER = frozenset({"read_models", "read_records", "read_metrics", "read_budgets", "read_releases", "read_evals"})
_OWNER: frozenset[str] = frozenset(ACTIONS) - {"create_organizations"}

BUILTIN_ROLES: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "owner": _OWNER,
        "admin": _OWNER - {"read_contents", "manage_encryption", "erase_records"},
        "editor": _EDITOR,
        "developer": _DEVELOPER,
        "viewer": _VIEWER,
        "annotator": frozenset({"annotate"}),
        "edge": frozenset({"serve_edge"}),
    },
)
"""The built-in roles, most powerful first; [roles] in sizewise.toml adds more."""


def expand_actions(names: Iterable[str]) -> frozenset[str]:
    """The permissions of `names`, single ones and groups. Raises BadRequest for an unknown name."""
    found: set[str] = set()
    for word in names:
        if word in ACTIONS:
            found.add(word)
        elif word in ACTION_GROUPS:
            found |= ACTION_GROUPS[word]
        else:
            known = [*ACTIONS, *ACTION_GROUPS]
            hint = did_you_mean(word, known) or f"known: {', '.join(known)}"
            raise BadRequest(f"there is no permission named {word[:100]!r}", hint, param="permissions")
    return frozenset(found)


def restrict_actions(actions: frozenset[str], tenant: str, wide: bool) -> frozenset[str]:
    """`actions` without those beyond `tenant`, or beyond one project unless `wide`."""
    if not wide:
        actions -= ORGANIZATION_ACTIONS | SERVER_ACTIONS
    return actions if tenant == DEFAULT_TENANT else actions - SERVER_ACTIONS


def merge_roles(custom: Mapping[str, Iterable[str]]) -> Mapping[str, frozenset[str]]:
    """The built-in roles and `custom`, as lists of permissions. Raises ConfigError for what a role cannot have."""
    made = dict(BUILTIN_ROLES)
    for name, words in custom.items():
        if name in BUILTIN_ROLES:
            raise ConfigError(f"roles.{name}: is a built-in role", "choose another name")
        try:
            made[name] = expand_actions(words)
        except BadRequest as error:
            raise ConfigError(f"roles.{name}.permissions: {error.message}", error.hint) from error
        if not made[name] <= _OWNER:
            raise ConfigError(
                f"roles.{name}.permissions: no role can have `create_organizations`",
                "only the admin token has it",
            )
    return made
