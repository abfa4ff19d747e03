"""`sizewise erase`: deletes the stored data of a person, key, session or end user, after a dry run that counts it."""

from __future__ import annotations

import asyncio
from shlex import quote

import click
import msgspec

from sizewise.cli import operations
from sizewise.cli.erase_eval_copies import erase_eval_copies
from sizewise.cli.eval_files import evals_folder
from sizewise.cli.options import api_client, server_options, wants_json
from sizewise.cli.output import dim, write_json, write_table
from sizewise.cli.users import user_id
from sizewise.errors import BadRequest

KEPT = (
    "copies in data sets of evals elsewhere, such as in git",
    "backups and the folders before-restore-* of the home: they hold what they held",
    "the audit log: ids, who erased whom, and the names that were given to keys",
    "documents of knowledge bases: sizewise knowledge remove",
    "notes with which they decided steps of other people's runs",
    "what providers of remote models keep, by their own terms",
)
"""What no erasure of this server reaches."""
OF_CALLERS = "stored responses, idempotent answers, files, flow runs, evals: they belong to the key, use --key"
"""What the names that clients send do not find."""


@click.command()
@click.option("--user", metavar="USER", help="E-mail address or id of a user: their data and their account.")
@click.option("--key", metavar="ID", help="Id of a key or session: its data. The key itself stays valid.")
@click.option("--session", metavar="ID", help="A conversation, by the client's id of it: its records and memories.")
@click.option("--end-user", metavar="NAME", help="A user of a client, by the client's name of it: their records.")
@click.option("--yes", is_flag=True, help="Erase. Without it, only count what would be erased.")
@server_options
def erase(user: str | None, key: str | None, session: str | None, end_user: str | None, yes: bool) -> None:
    """Erase the stored data of one person, key, session or end user.

    Records, prompts and replies, ratings, flow runs, stored responses, idempotent answers, memories and files, and with
    --user the account and its e-mail address. Counts them first; nothing is erased without --yes.

    \b
    Example: sizewise erase --user ada@example.com
             sizewise erase --user ada@example.com --yes
             sizewise erase --end-user customer-4711
    """
    given = {"user": user, "key": key, "session": session, "end-user": end_user}
    named = [(option, value) for option, value in given.items() if value]
    if len(named) != 1:
        hint = "sizewise erase --user USER, --key ID, --session ID or --end-user NAME: sizewise users, keys"
        raise BadRequest("name one user, key, session or end user", hint)
    ((option, value),) = named
    client = api_client()
    whose = user_id(user) if user else None
    owned = [each.id for each in asyncio.run(operations.list_keys(client)) if each.user == whose] if whose else []
    last = asyncio.run(operations.list_records(client, last=1, end_user=end_user)).rows if end_user else []
    copied = {
        "key": [*owned, *([key] if key else [])],
        "session": [session] if session else [],
        "end_user": [each.end_user for each in last if each.end_user],
    }
    told = asyncio.run(
        operations.erase_personal_data(
            client,
            user=whose,
            key=key or None,
            session=session or None,
            end_user=end_user or None,
            dry_run=not yes,
        )
    )
    copies = erase_eval_copies(evals_folder(), copied, dry_run=told.dry_run)
    kept = (OF_CALLERS, *KEPT) if session or end_user else KEPT
    if wants_json():
        write_json({**msgspec.to_builtins(told), "eval_copies": msgspec.to_builtins(copies), "kept": list(kept)})
        return
    write_table(("WHAT", "ROWS"), [(each.kind, f"{each.count:,}") for each in told.rows], right="ROWS")
    total = sum(each.count for each in told.rows)
    click.echo(f"{total:,} rows {'would be' if told.dry_run else 'are'} erased")
    if copies.items:
        said = "would be erased" if told.dry_run else "are erased"
        click.echo(f"{copies.items:,} items of data sets here, and {copies.answers:,} answers to them, {said}")
    if told.dry_run:
        again = f"sizewise erase --{option} {quote(value)} --yes"
        click.echo(dim(f"nothing was erased; to erase them: {again}"), err=True)
    for each in kept:
        click.echo(dim(f"not erased: {each}"), err=True)
