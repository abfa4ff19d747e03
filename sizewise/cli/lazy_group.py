"""A group of verbs that are loaded when they are named: `--help` is answered from this list and waits for nobody."""

from __future__ import annotations

import gc
from collections.abc import Mapping, Sequence
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


RENAMED: Mapping[str, str] = {
    "calibrate": "route calibrate",
    "flow import": "import lamatic",
    "policy": "route policy",
    "policy test": "route policy test",
    "replay": "route replay",
    "route quality": "route outcomes",
    "route trust": "route restore",
    "router": "route train",
    "router add": "route add-model",
    "router train": "route train",
    "users found": "orgs create",
    "users free": "users release-email",
    "vault": "encryption",
    "vault rotate": "encryption rotate",
    "vault status": "encryption status",
}
"""Verbs as they were called, and as they are; `docs/names.tsv` lists the same (a test compares the two)."""


class Verbs(click.Group):
    """`verbs` in the order in which they are shown; where there are `subjects`, the help has only these, by name."""

    def __init__(
        self, *arguments: Any, verbs: Mapping[str, Verb], subjects: Sequence[tuple[str, str]] = (), **options: Any
    ) -> None:
        super().__init__(*arguments, **options)
        self.verbs, self.subjects = verbs, subjects

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
            typed = [*ctx.command_path.split()[1:], *args]
            for many in (len(typed) - len(args) + 2, len(typed) - len(args) + 1):
                if (old := " ".join(typed[:many])) in RENAMED:
                    raise click.UsageError(f"there is no verb {old!r}. It is `sizewise {RENAMED[old]}` now", ctx)
            near = nearest(wrong, list(self.verbs)) or f"known: {', '.join(self.verbs)}"
            raise click.UsageError(f"there is no verb {wrong!r}. {near}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if self.subjects:
            with formatter.section("Verbs"):
                for names, says in self.subjects:
                    formatter.write(f"  {names.replace(' ', ', ')}\n      {says}\n")
            return
        with formatter.section("Verbs"):
            formatter.write_dl([(name, verb.says) for name, verb in self.verbs.items()])
