"""Writes reference/roles.md: roles, permissions, and the endpoint or field that requires each; knows none by name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sizewise.auth.authorization import OWN_RESOURCE_ACTIONS
from sizewise.auth.permissions import ACTION_GROUPS, ACTIONS, BUILTIN_ROLES, ORGANIZATION_ACTIONS, SERVER_ACTIONS
from sizewise.gateway.routes import METHOD_ACTIONS, ROUTE_ACTIONS
from sizewise.graphql.schema import RESOLVERS

PAGE = Path(__file__).parent / "reference" / "roles.md"
INTRODUCTION = """\
# Roles

*Generated from `sizewise/auth/permissions.py`, the routes and the fields by `python -m docs.build`; edit it there.*

A role is a set of permissions. A user has a role in the organization, in projects, or both; an API key has single
permissions. [Accounts](../explanation/accounts.md) explains how they combine. A test calls every endpoint and every
field as every role, and with each single permission missing (`tests/auth/test_authorization_matrix.py`).

## Permissions of each role

"""


def pages() -> dict[Path, str]:
    return {PAGE: INTRODUCTION + "\n".join(_page())}


def _page() -> Iterator[str]:
    yield f"| permission | {' | '.join(BUILTIN_ROLES)} | what it allows |\n|---|{'---|' * len(BUILTIN_ROLES)}---|"
    for action, says in ACTIONS.items():
        marks = ("yes" if action in may else "" for may in BUILTIN_ROLES.values())
        yield f"| `{action}` | {' | '.join(marks)} | {says} |"
    yield "\nDefine more roles in `sizewise.toml`. An unknown permission is refused at startup.\n"
    yield '```toml\n[roles.auditor]\npermissions = ["read_audit", "read_users"]\n```\n'
    for word, actions in ACTION_GROUPS.items():
        yield f"`{word}` stands for {_named(sorted(actions, key=list(ACTIONS).index))}.\n"
    yield (
        f"{_named(sorted(ORGANIZATION_ACTIONS | SERVER_ACTIONS))} apply beyond one project: a user limited to a "
        "project never has them."
    )
    yield (
        f"{_named(sorted(SERVER_ACTIONS))} apply to the whole server: only users of the first organization can have "
        "them."
    )
    yield "Only the admin token, a file in the home folder, has `create_organizations`.\n"
    yield (
        "## Where each is required\n\nAny one of the listed permissions gives access to a field of `/graphql`. If "
        "the field"
    )
    yield (
        "concerns an object, the caller must also be able to see the object; otherwise the response is *not found*.\n"
    )
    yield "| permission | endpoints | fields of `/graphql` |\n|---|---|---|"
    for action in ACTIONS:
        asked = (action, *(wide for wide, own in OWN_RESOURCE_ACTIONS.items() if own == action))
        endpoints = [f"`{path}`" for path, actions in ROUTE_ACTIONS.items() if actions and action in actions]
        endpoints += [f"`{method} {path}`" for (method, path), actions in METHOD_ACTIONS.items() if action in actions]
        fields = [
            f"`{name}`" for kind in RESOLVERS.values() for name, (_, its) in kind.items() if set(asked) & set(its)
        ]
        yield f"| `{action}` | {', '.join(endpoints)} | {', '.join(fields)} |"
    some = [f"`{path}`" for path, actions in ROUTE_ACTIONS.items() if actions == ()]
    free = [f"`{path}`" for path, actions in ROUTE_ACTIONS.items() if actions is None]
    any_key = [f"`{name}`" for kind in RESOLVERS.values() for name, (_, its) in kind.items() if not its]
    yield f"\nAny key or session: {', '.join(some)}; of `/graphql` {', '.join(any_key)}.\n"
    yield f"No key required: {', '.join(free)}.\n"


def _named(words: list[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)
