"""Shell completion of values of options and arguments; imports server_names.py, which finds them, only then."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from sizewise.cli.server_names import NameKind


def complete_model(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Names that a request can have: also `auto` and the policies."""
    return _complete(ctx, incomplete, "target")


def complete_model_name(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    return _complete(ctx, incomplete, "model")


def complete_policy(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    return _complete(ctx, incomplete, "policy")


def complete_flow(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    return _complete(ctx, incomplete, "flow")


def complete_knowledge_base(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    return _complete(ctx, incomplete, "knowledge base")


def complete_download(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Models that `sizewise models pull` downloads."""
    return _complete(ctx, incomplete, "download")


def complete_catalog_model(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    return _complete(ctx, incomplete, "catalog")


def _complete(ctx: click.Context, incomplete: str, kind: NameKind) -> list[str]:
    from sizewise.cli.server_names import names

    with ctx.scope(cleanup=False):
        return sorted({each for each in names(kind) if each.startswith(incomplete)})
