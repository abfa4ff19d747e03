"""Writes reference/roles.md: roles, actions, and which door or field asks for which; knows none of them by name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sizewise.auth.authorization import OWN_RESOURCE_ACTIONS
from sizewise.auth.permissions import ACTION_GROUPS, ACTIONS, BUILTIN_ROLES, ORGANIZATION_ACTIONS, SERVER_ACTIONS
from sizewise.gateway.routes import ROUTE_ACTIONS
from sizewise.graphql.schema import RESOLVERS

PAGE = Path(__file__).parent / "reference" / "roles.md"
INTRODUCTION = """\
# Roles

*Made from `sizewise/auth/permissions.py`, the routes and the fields by `python -m docs.build`; change it there.*

A role is a set of actions. A user has one in the organisation, or one in a project, or both; a key is allowed actions
one by one. [Accounts](../explanation/accounts.md) tells how they come together. A test asks every door and every field
as every role, and as a caller for whom one single action was left out (`tests/auth/test_authorization_matrix.py`).

## Who may what

"""


def pages() -> dict[Path, str]:
    return {PAGE: INTRODUCTION + "\n".join(_page())}


def _page() -> Iterator[str]:
    yield f"| action | {' | '.join(BUILTIN_ROLES)} | what it allows |\n|---|{'---|' * len(BUILTIN_ROLES)}---|"
    for action, says in ACTIONS.items():
        marks = ("yes" if action in may else "" for may in BUILTIN_ROLES.values())
        yield f"| `{action}` | {' | '.join(marks)} | {says} |"
    yield "\nMore roles are made in `sizewise.toml`; a word of this page that is none is refused at the start.\n"
    yield '```toml\n[roles.auditor]\npermissions = ["read_audit", "read_users"]\n```\n'
    for word, actions in ACTION_GROUPS.items():
        yield f"`{word}` stands for {_named(sorted(actions, key=list(ACTIONS).index))}.\n"
    yield (
        f"{_named(sorted(ORGANIZATION_ACTIONS | SERVER_ACTIONS))} reach beyond a project: who sees one project alone"
        " never has them."
    )
    yield (
        f"{_named(sorted(SERVER_ACTIONS))} concern the whole server: nobody of another organisation than the first has"
        " them."
    )
    yield "`found_organisations` is the admin token's alone, which lies in the home folder.\n"
    yield "## Where each is asked for\n\nA field of `/graphql` is opened by any one of its actions; where it concerns a"
    yield "thing, the caller must see the thing too, and what it does not see it is told is not there.\n"
    yield "| action | doors | fields of `/graphql` |\n|---|---|---|"
    for action in ACTIONS:
        asked = (action, *(wide for wide, own in OWN_RESOURCE_ACTIONS.items() if own == action))
        doors = [f"`{path}`" for path, actions in ROUTE_ACTIONS.items() if actions and action in actions]
        fields = [
            f"`{name}`" for kind in RESOLVERS.values() for name, (_, its) in kind.items() if set(asked) & set(its)
        ]
        yield f"| `{action}` | {', '.join(doors)} | {', '.join(fields)} |"
    some = [f"`{path}`" for path, actions in ROUTE_ACTIONS.items() if actions == ()]
    free = [f"`{path}`" for path, actions in ROUTE_ACTIONS.items() if actions is None]
    any_key = [f"`{name}`" for kind in RESOLVERS.values() for name, (_, its) in kind.items() if not its]
    yield f"\nAny key or session: {', '.join(some)}; of `/graphql` {', '.join(any_key)}.\n"
    yield f"Nobody needs a key: {', '.join(free)}.\n"


def _named(words: list[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)
