"""Permissions: the actions, the built-in roles and custom roles; the source of the matrix in the docs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from sizewise.errors import BadRequest, ConfigError, did_you_mean

ACTIONS: Mapping[str, str] = MappingProxyType(
    {
        "ask": "Ask models, and say what one thinks of one's own answers.",
        "read_models": "See the models, what is known of them, and how a request would be decided.",
        "read_records": "See what happened: records, savings, quality.",
        "read_contents": "Read the prompts and replies that are kept sealed.",
        "read_metrics": "Read /metrics.",
        "read_keys": "See which keys there are, never their texts.",
        "read_users": "See users, their roles and invitations.",
        "read_budgets": "See budgets, and what is spent.",
        "read_audit": "Read and export the audit trail.",
        "own_keys": "Make, rotate and revoke keys of one's own, never with more rights than one's own.",
        "manage_keys": "Make, rotate and revoke the keys of others too.",
        "manage_users": "Invite users, give roles no higher than one's own, disable users.",
        "manage_budgets": "Set budgets and limits.",
        "manage_flows": "Publish flows and withdraw them, and see what they say.",
        "manage_policies": "Trust a policy again, and judge answers that others got.",
        "manage_knowledge": "Add documents to knowledge bases and take them out, and see all there are.",
        "manage_settings": "Have the settings read anew.",
        "manage_vault": "Rotate the keys by which things are sealed, those of every organisation.",
        "erase_records": "Erase what is kept of one key or user.",
        "found_organisations": "Found organisations; whoever can read the home folder can.",
    },
)
"""Each with what it allows, in one sentence."""

_READ_ACTIONS = ("read_models", "read_records", "read_metrics", "read_keys", "read_users", "read_budgets")
_MANAGE_ACTIONS: Sequence[str] = (
    *(action for action in ACTIONS if action.startswith("manage_")),
    "own_keys",
    "erase_records",
)

ACTION_GROUPS: Mapping[str, frozenset[str]] = MappingProxyType(
    {"read": frozenset(_READ_ACTIONS), "manage": frozenset(_MANAGE_ACTIONS)},
)
"""Words for several actions at once. What people wrote and what stands in the audit trail takes its own word."""

ORGANIZATION_ACTIONS = frozenset({"read_audit"})
"""These reach beyond any project: who sees one project alone never has them."""
SERVER_ACTIONS = frozenset({"read_metrics", "manage_settings", "manage_vault", "found_organisations"})
"""These concern the whole server: the same, and nobody has them in another organisation than the first."""
DEFAULT_TENANT = "local"

_DEVELOPER = frozenset({"ask", "read_models", "read_records", "read_budgets", "own_keys"})
_EDITOR: frozenset[str] = _DEVELOPER | {
    *("read_contents", "read_metrics", "read_keys", "manage_flows", "manage_policies", "manage_knowledge"),
}
_OWNER: frozenset[str] = frozenset(ACTIONS) - {"found_organisations"}

BUILTIN_ROLES: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "owner": _OWNER,
        "admin": _OWNER - {"read_contents", "manage_vault", "erase_records"},
        "editor": _EDITOR,
        "developer": _DEVELOPER,
        "viewer": frozenset({"read_models", "read_records", "read_metrics", "read_budgets"}),
    },
)
"""The roles that are always there, from the widest; more of them in [roles] of sizewise.toml."""


def expand_actions(names: Iterable[str]) -> frozenset[str]:
    """The actions that `names`, actions and bundles, stand for. Raises BadRequest for a word that is neither."""
    found: set[str] = set()
    for word in names:
        if word in ACTIONS:
            found.add(word)
        elif word in ACTION_GROUPS:
            found |= ACTION_GROUPS[word]
        else:
            known = [*ACTIONS, *ACTION_GROUPS]
            hint = did_you_mean(word, known) or f"known: {', '.join(known)}"
            raise BadRequest(f"there is nothing called {word[:100]!r} that could be allowed", hint, param="may")
    return frozenset(found)


def restrict_actions(actions: frozenset[str], tenant: str, wide: bool) -> frozenset[str]:
    """`actions` without what is beyond somebody of `tenant`, or of one project where not `wide`."""
    if not wide:
        actions -= ORGANIZATION_ACTIONS | SERVER_ACTIONS
    return actions if tenant == DEFAULT_TENANT else actions - SERVER_ACTIONS


def merge_roles(custom: Mapping[str, Iterable[str]]) -> Mapping[str, frozenset[str]]:
    """ROLES and `custom`, the words of each. Raises ConfigError for what cannot be given."""
    made = dict(BUILTIN_ROLES)
    for name, words in custom.items():
        if name in BUILTIN_ROLES:
            raise ConfigError(f"roles.{name}: this role is always there", "choose another name")
        try:
            made[name] = expand_actions(words)
        except BadRequest as error:
            raise ConfigError(f"roles.{name}.permissions: {error.message}", error.hint) from error
        if not made[name] <= _OWNER:
            raise ConfigError(
                f"roles.{name}.permissions: no role may `found_organisations`",
                "the admin token alone may",
            )
    return made
