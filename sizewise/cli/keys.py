"""`sizewise keys`: who may ask; a key's text is shown once, when it is made, and alone on stdout."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import click
import msgspec
from msgspec import Struct

from sizewise.cli.options import served, server, wants_json
from sizewise.cli.paper import day, dim, write_json, write_table
from sizewise.cli.verbs import Verb, Verbs
from sizewise.errors import BadRequest, nearest

VERBS: Mapping[str, Verb] = {
    "create": Verb("sizewise.cli.keys:create", "Make a key; its text is shown this once."),
    "revoke": Verb("sizewise.cli.keys:revoke", "Refuse a key from now on, everywhere."),
}

ACTIONS = ("ask", "read", "manage")

_FIELDS = "id name project may dataClass created expires revoked state"
LIST = f"{{ keys {{ {_FIELDS} }} }}"
CREATE = f"""mutation ($name: String!, $may: [Action!], $days: Float) {{
  createKey(name: $name, may: $may, expiresInDays: $days) {{ text key {{ {_FIELDS} }} }}
}}"""
REVOKE = "mutation ($id: String!) { revokeKey(id: $id) { id } }"


class Key(Struct, rename="camel"):
    """Times are unix ms."""

    id: str
    name: str
    project: str
    may: list[str]
    data_class: str | None
    created: int
    expires: int | None
    revoked: int | None
    state: str


class Keys(Struct):
    keys: list[Key]


class NewKey(Struct):
    text: str
    key: Key


class Created(Struct, rename="camel"):
    create_key: NewKey


class Revoked(Struct):
    id: str


class RevokedTold(Struct, rename="camel"):
    revoke_key: Revoked


@click.group(cls=Verbs, verbs=VERBS, invoke_without_command=True)
@served
@click.pass_context
def keys(ctx: click.Context) -> None:
    """Who may ask: list, create, revoke.

    Alone it lists them, revoked and expired ones too.

    \b
    Example: sizewise keys
    """
    if ctx.invoked_subcommand is not None:
        return
    told = asyncio.run(server().graphql(LIST, Keys)).keys
    if wants_json():
        write_json(msgspec.to_builtins({"keys": told}))
        return
    write_table(
        ("ID", "NAME", "MAY", "CREATED", "EXPIRES", "STATE"),
        [(k.id, k.name, ", ".join(k.may), day(k.created), day(k.expires), k.state) for k in told],
    )


@click.command()
@click.argument("name")
@click.option("--may", default="ask", help="What it may do: some of ask, read, manage, with commas between. [ask]")
@click.option("--expires-days", type=float, help="Days until it expires; otherwise never.")
@served
def create(name: str, may: str, expires_days: float | None) -> None:
    """Make a key; its text is shown this once.

    \b
    Example: sizewise keys create laptop --may ask,read --expires-days 90
    """
    variables = {"name": name, "may": _actions(may), "days": expires_days}
    made = asyncio.run(server().graphql(CREATE, Created, **variables)).create_key
    if wants_json():
        write_json(msgspec.to_builtins(made))
        return
    click.echo(made.text)
    click.echo(dim(f"{made.key.id} may {', '.join(made.key.may)}; this is the only time its text is shown"), err=True)


def _actions(said: str) -> list[str]:
    actions = [each.strip() for each in said.split(",") if each.strip()]
    for wrong in set(actions).difference(ACTIONS):
        hint = nearest(wrong, ACTIONS) or f"known: {', '.join(ACTIONS)}"
        raise BadRequest(f"a key cannot be allowed to {wrong!r}", hint)
    return actions


@click.command()
@click.argument("id")
@served
def revoke(id: str) -> None:
    """Refuse a key from now on, everywhere.

    \b
    Example: sizewise keys revoke sw-7k2mqpxd
    """
    told = asyncio.run(server().graphql(REVOKE, RevokedTold, id=id)).revoke_key
    if wants_json():
        write_json({"revoked": told.id})
    else:
        click.echo(f"{told.id} is revoked")
