"""`sizewise release diff`: what differs between two releases, by part and by option."""

from __future__ import annotations

from collections.abc import Iterator

import click
import msgspec
from msgspec.structs import replace

from sizewise.cli.options import refuse_options, server_options, wants_json
from sizewise.cli.output import write_json
from sizewise.cli.release_source import FOLDER, NamedRelease, complete_release
from sizewise.releases.manifest import PartChange, changed_parts, changed_values


@click.command()
@click.argument("before", metavar="RELEASE", shell_complete=complete_release)
@click.argument("after", default=FOLDER, metavar="[RELEASE]", shell_complete=complete_release)
@click.option("--exit-code", is_flag=True, help="Exit with 1 if they differ.")
@server_options
@click.pass_context
def diff(ctx: click.Context, before: str, after: str, exit_code: bool) -> None:
    """Show what differs between two releases: + added, ~ changed, - removed.

    RELEASE is the first 8 or more digits of its hash, or `.`, the folder as it is now.

    \b
    Example: sizewise release diff 3f2a9c01 .
    """
    if before == FOLDER == after:
        refuse_options("with the folder, which needs no server", "url")
    old, new = NamedRelease(before), NamedRelease(after)
    changes = list(_changes(old, new))
    if wants_json():
        shown = {"before": old.manifest.hash, "after": new.manifest.hash, "changes": msgspec.to_builtins(changes)}
        write_json(shown)
    else:
        for each in changes:
            click.echo(f"{each.sign} {each.kind}/{each.name}")
            for line in each.details:
                click.echo(f"    {line}")
        if not changes:
            same = old.manifest.hash == new.manifest.hash
            click.echo("The releases are the same." if same else "Their parts are the same; what they need differs.")
    ctx.exit(1 if exit_code and old.manifest.hash != new.manifest.hash else 0)


def _changes(old: NamedRelease, new: NamedRelease) -> Iterator[PartChange]:
    for each in changed_parts(old.manifest, new.manifest):
        if each.sign != "~":
            yield each
            continue
        before, after = old.content(each.kind, each.name), new.content(each.kind, each.name)
        yield replace(each, details=tuple(changed_values(before, after)))
