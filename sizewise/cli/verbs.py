"""A group of verbs that are loaded when they are named: `--help` is answered from this list and waits for nobody."""

from __future__ import annotations

import gc
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import click

from sizewise.errors import nearest


@dataclass(frozen=True, slots=True)
class Verb:
    """`place` is module:attribute of a click command; `says` its short help (a test compares the two)."""

    place: str
    says: str

    def load(self) -> click.Command:
        command = loaded(self.place)
        assert isinstance(command, click.Command)
        return command


def loaded(place: str) -> object:
    """The attribute at module:attribute. Nobody looks for garbage meanwhile nor, later, in what came with it: modules
    stay, and looking at a quarter of a million objects time and again is a tenth of the start."""
    module, _, attribute = place.partition(":")
    gc.disable()
    try:
        return getattr(import_module(module), attribute)
    finally:
        gc.freeze()
        gc.enable()


class Verbs(click.Group):
    """`verbs` in the order in which they are shown."""

    def __init__(self, *arguments: Any, verbs: Mapping[str, Verb], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.verbs = verbs

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.verbs)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        verb = self.verbs.get(cmd_name)
        return None if verb is None else verb.load()

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        wrong = args[0]
        if wrong not in self.verbs and not wrong.startswith("-"):
            near = nearest(wrong, list(self.verbs)) or f"known: {', '.join(self.verbs)}"
            raise click.UsageError(f"there is no verb {wrong!r}. {near}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl([(name, verb.says) for name, verb in self.verbs.items()])
