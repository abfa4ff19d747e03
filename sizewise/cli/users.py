"""`sizewise users`: lists, invites, grants roles to and disables users; an invitation link is shown once."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import click
import msgspec

from sizewise.cli import operations
from sizewise.cli.lazy_group import LazyCommand, LazyGroup
from sizewise.cli.options import api_client, server_options, wants_json
from sizewise.cli.output import dim, format_date, write_json, write_table
from sizewise.errors import BadRequest, did_you_mean

COMMANDS: Mapping[str, LazyCommand] = {
    "list": LazyCommand("sizewise.cli.users:list_", "List the users, with roles and states."),
    "invite": LazyCommand("sizewise.cli.users:invite", "Invite a new user, or send a user a link to a new password."),
    "role": LazyCommand("sizewise.cli.users:role", "Grant a role, or remove it."),
    "disable": LazyCommand("sizewise.cli.users:disable", "Disable a user, with all sessions and keys."),
    "enable": LazyCommand("sizewise.cli.users:enable", "Enable a user again."),
    "sessions": LazyCommand("sizewise.cli.users:sessions", "List the sign-in sessions."),
    "sign-out": LazyCommand("sizewise.cli.users:sign_out", "Sign a user out everywhere."),
    "reset-second-factor": LazyCommand(
        "sizewise.cli.users:reset_second_factor", "Remove the second factor of a user who has lost it."
    ),
    "invitations": LazyCommand("sizewise.cli.users:invitations", "List invitations, and whether they were accepted."),
    "withdraw": LazyCommand("sizewise.cli.users:withdraw", "Withdraw an invitation."),
    "release-email": LazyCommand(
        "sizewise.cli.users:release_email", "Release an address that was registered by another person than its owner."
    ),
}


@click.group(cls=LazyGroup, lazy_commands=COMMANDS, invoke_without_command=True)
@server_options
@click.pass_context
def users(ctx: click.Context) -> None:
    """Manage users: list, invite, role, disable, sign out.

    Without a command it lists them. USER is an e-mail address or an id.

    \b
    Example: sizewise users
    """
    if ctx.invoked_subcommand is None:
        _list()


@click.command("list")
@server_options
def list_() -> None:
    """List the users, with roles and states.

    \b
    Example: sizewise users list
    """
    _list()


def _list() -> None:
    told = _all()
    if wants_json():
        write_json(msgspec.to_builtins({"users": told}))
        return
    if not told:
        click.echo(
            dim("there are no users yet; invite one: sizewise users invite ada@example.com --role owner"), err=True
        )
        return
    write_table(
        ("ID", "E-MAIL", "NAME", "ROLE", "PROJECTS", "SINCE", "STATE"),
        [(u.id, u.email, u.name, u.role or "-", _projects(u), format_date(u.created), u.state) for u in told],
    )


def _all() -> list[operations.User]:
    return asyncio.run(operations.list_users(api_client()))


def _projects(user: operations.User) -> str:
    return ", ".join(f"{each.project}:{each.role}" for each in user.projects) or "-"


def user_id(said: str) -> str:
    """Raises BadRequest if no user here has this address."""
    if "@" not in said:
        return said
    known = {user.email: user.id for user in _all()}
    if said.strip().lower() not in known:
        hint = did_you_mean(said.lower(), list(known)) or "run: sizewise users"
        raise BadRequest(f"no user has the address {said[:254]!r}", hint)
    return known[said.strip().lower()]


@click.command()
@click.argument("email")
@click.option("--role", help="Role to grant: owner, admin, editor, developer, viewer, or one of [roles].")
@click.option("--project", help="Grant the role in this project only.")
@click.option("--days", type=float, default=7.0, help="Days until the link expires. [7]")
@server_options
def invite(email: str, role: str | None, project: str | None, days: float) -> None:
    """Invite a new user, or send a user a link to a new password.

    Prints the link to send, once. Without --role an existing user gets a link to a new password.

    \b
    Example: sizewise users invite ada@example.com --role developer
    """
    here = api_client()
    invited = operations.invite_user(here, email=email, role=role, project=project, days=days)
    show(here.url, asyncio.run(invited))


@click.command("release-email")
@click.argument("email")
@server_options
def release_email(email: str) -> None:
    """Release an address that was registered by another person than its owner.

    In any organization: that user is disabled, and the address can be invited again.

    \b
    Example: sizewise users release-email ada@example.com
    """
    told = asyncio.run(operations.release_email(api_client(), email=email))
    if wants_json():
        write_json({"freed": told.id})
    else:
        click.echo(f"{told.id} is disabled; the address can be invited again")


def show(url: str, made: operations.NewInvitation) -> None:
    link = f"{url}/invitation#{made.token}"
    if wants_json():
        write_json({"link": link, **msgspec.to_builtins(made)})
        return
    its = made.invitation
    what = f"as {its.role}" + (f" in {its.project}" if its.project else "") if its.role else "for a new password"
    click.echo(link)
    click.echo(dim(f"{its.email}, {what}, valid until {format_date(its.expires)}; this link is shown once"), err=True)


@click.command()
@click.argument("user")
@click.argument("role")
@click.option("--project", help="In this project only. [the organization]")
@server_options
def role(user: str, role: str, project: str | None) -> None:
    """Grant a role, or remove it.

    ROLE is one of those in `sizewise users invite --help`; "none" removes it.

    \b
    Example: sizewise users role ada@example.com editor --project shop
    """
    given = "" if role == "none" else role
    _tell(asyncio.run(operations.set_role(api_client(), id=user_id(user), role=given, project=project)))


@click.command()
@click.argument("user")
@click.option("--with-keys", is_flag=True, help="Also revoke the service keys that they created.")
@server_options
def disable(user: str, with_keys: bool) -> None:
    """Disable a user, with all sessions and keys.

    Service keys that they created stay valid, and are listed, unless --with-keys revokes them.

    \b
    Example: sizewise users disable ada@example.com
    """
    gone = asyncio.run(operations.disable_user(api_client(), id=user_id(user), revoke_keys=with_keys))
    _tell(gone)
    if gone.service_keys and not wants_json():
        listed = ", ".join(f"{key.id} ({key.name})" for key in gone.service_keys)
        click.echo(
            dim(f"still valid, and created by them: {listed}; sizewise keys revoke ID, or --with-keys"), err=True
        )


@click.command()
@click.argument("user")
@server_options
def enable(user: str) -> None:
    """Enable a user again.

    \b
    Example: sizewise users enable ada@example.com
    """
    _tell(asyncio.run(operations.enable_user(api_client(), id=user_id(user))))


def _tell(user: operations.User) -> None:
    if wants_json():
        write_json(msgspec.to_builtins(user))
    else:
        click.echo(f"{user.email} is {user.state}: {user.role or 'no role'}; projects {_projects(user)}")


@click.command()
@server_options
def sessions() -> None:
    """List the sign-in sessions.

    \b
    Example: sizewise users sessions
    """
    told = asyncio.run(operations.list_sign_in_sessions(api_client()))
    if wants_json():
        write_json(msgspec.to_builtins({"sessions": told}))
        return
    write_table(
        ("ID", "E-MAIL", "PROJECT", "BY", "DEVICE", "NETWORK", "SINCE", "LAST", "ENDS"),
        [
            (s.id, s.email, s.project, _signed_in_by(s), s.device or "-", s.network or "-", *_session_times(s))
            for s in told
        ],
    )


def _signed_in_by(session: operations.SignInSession) -> str:
    """As 'password + totp'."""
    return " + ".join(dict.fromkeys(filter(None, (session.method, session.second_factor)))) or "-"


def _session_times(session: operations.SignInSession) -> tuple[str, str, str]:
    return format_date(session.created), format_date(session.last_seen), format_date(session.expires)


@click.command(name="sign-out")
@click.argument("user")
@server_options
def sign_out(user: str) -> None:
    """Sign a user out everywhere.

    USER may be the id of one session: that one ends.

    \b
    Example: sizewise users sign-out ada@example.com
    """
    if user.startswith("ss-"):
        told = asyncio.run(operations.sign_out(api_client(), session=user))
    else:
        told = asyncio.run(operations.sign_out(api_client(), user=user_id(user)))
    if wants_json():
        write_json({"signed_out": told.id})
    else:
        click.echo(f"{told.id} has ended" if user.startswith("ss-") else f"{told.id} is signed out everywhere")


@click.command(name="reset-second-factor")
@click.argument("user")
@server_options
def reset_second_factor(user: str) -> None:
    """Remove the second factor of a user who has lost it.

    \b
    Example: sizewise users reset-second-factor ada@example.com
    """
    told = asyncio.run(operations.reset_second_factor(api_client(), user=user_id(user)))
    if wants_json():
        write_json({"reset": told.id})
    else:
        click.echo(f"{told.id} signs in without a second factor")


@click.command()
@server_options
def invitations() -> None:
    """List invitations, and whether they were accepted.

    \b
    Example: sizewise users invitations
    """
    told = asyncio.run(operations.list_invitations(api_client()))
    if wants_json():
        write_json(msgspec.to_builtins({"invitations": told}))
        return
    write_table(
        ("ID", "E-MAIL", "ROLE", "PROJECT", "BY", "UNTIL", "USED"),
        [
            (i.id, i.email, i.role or "-", i.project or "-", i.invited_by, format_date(i.expires), format_date(i.used))
            for i in told
        ],
    )


@click.command()
@click.argument("id")
@server_options
def withdraw(id: str) -> None:
    """Withdraw an invitation.

    \b
    Example: sizewise users withdraw in-7k2mqpxd4f
    """
    told = asyncio.run(operations.withdraw_invitation(api_client(), id=id))
    if wants_json():
        write_json({"withdrawn": told.id})
    else:
        click.echo(f"{told.id} is withdrawn")
