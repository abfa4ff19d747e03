"""A click group that imports its commands when they are used, so that `--help` is fast."""

from __future__ import annotations

import gc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import click
from click.shell_completion import CompletionItem

from sizewise.errors import did_you_mean


@dataclass(frozen=True, slots=True)
class LazyCommand:
    """`target` is module:attribute of a click command; `short_help` its short help (a test compares the two)."""

    target: str
    short_help: str

    def load(self) -> click.Command:
        command = load_attribute(self.target)
        assert isinstance(command, click.Command)
        return command


def load_attribute(target: str) -> object:
    """The attribute at module:attribute. Garbage collection is off during the import, and the imported modules are
    frozen: scanning their quarter of a million objects again and again takes a tenth of the startup.
    """
    module, _, attribute = target.partition(":")
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
"""Renamed commands, old to new; `docs/names.tsv` lists the same (a test compares the two)."""

RENAMED_OPTIONS: Mapping[str, str] = {
    "keys create --door": "--endpoint",
    "keys create --may": "--permissions",
    "route calibrate --picture": "--svg",
    "route calibrate --ratio": "--price-ratio",
    "route calibrate --sure": "--confidence",
    "route replay --learned": "--predictor",
    "savings --picture": "--svg",
}
"""Renamed options: old command and option to new option; `docs/names.tsv` lists the same (a test compares the two)."""


class LazyGroup(click.Group):
    """`lazy_commands` in display order. With `subjects`, the help shows only these, by name."""

    def __init__(
        self,
        *arguments: Any,
        lazy_commands: Mapping[str, LazyCommand],
        subjects: Sequence[tuple[str, str]] = (),
        **options: Any,
    ) -> None:
        super().__init__(*arguments, **options)
        self.lazy_commands, self.subjects = lazy_commands, subjects

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.lazy_commands)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        verb = self.lazy_commands.get(cmd_name)
        return None if verb is None else verb.load()

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """As click's, which would import every command to learn whether it is hidden."""
        known = self.lazy_commands.items()
        found = [CompletionItem(name, help=verb.short_help) for name, verb in known if name.startswith(incomplete)]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        wrong = args[0]
        if wrong not in self.lazy_commands and not wrong.startswith("-"):
            typed = [*ctx.command_path.split()[1:], *args]
            for many in (len(typed) - len(args) + 2, len(typed) - len(args) + 1):
                if (old := " ".join(typed[:many])) in RENAMED:
                    raise click.UsageError(
                        f"there is no command {old!r}. It was renamed to `sizewise {RENAMED[old]}`", ctx
                    )
            near = did_you_mean(wrong, list(self.lazy_commands)) or f"known: {', '.join(self.lazy_commands)}"
            raise click.UsageError(f"there is no command {wrong!r}. {near}", ctx)
        name, command, rest = super().resolve_command(ctx, args)
        if not ctx.resilient_parsing:  # a shell completes a word
            self._refuse_options_of_another_verb(ctx, command)
        return name, command, rest

    def _refuse_options_of_another_verb(self, ctx: click.Context, command: click.Command | None) -> None:
        """Of options before a verb, it takes those that it has too: a value of others would have no effect."""
        assert command is not None
        taken = {each.name for each in command.params if not each.expose_value}
        for each in self.params:
            if not each.name or each.name in taken or not isinstance(each, click.Option):
                continue
            if ctx.get_parameter_source(each.name) is click.core.ParameterSource.COMMANDLINE:
                path = f"{ctx.command_path} {command.name}"
                raise click.UsageError(f"{max(each.opts, key=len)} is no option of `{path}`", ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if self.subjects:
            with formatter.section("Verbs"):
                for names, says in self.subjects:
                    formatter.write(f"  {names.replace(' ', ', ')}\n      {says}\n")
            return
        with formatter.section("Verbs"):
            formatter.write_dl([(name, verb.short_help) for name, verb in self.lazy_commands.items()])


SERVER_OPTIONS = ("--url", "--home", "--config")
"""Options with a value that may come before a verb."""


class CommandWithVerbs(LazyGroup):
    """A command with arguments of its own that has verbs too: `records`, `records TRACE` and `records export`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        at = 0
        while at < len(args) and (args[at] in SERVER_OPTIONS or args[at] == "--json"):
            at += 2 if args[at] in SERVER_OPTIONS else 1
        verb = args[at:] if at < len(args) and args[at] in self.lazy_commands else []
        ctx.allow_interspersed_args, ctx.allow_extra_args = True, False
        click.Command.parse_args(self, ctx, args[:at] if verb else args)
        ctx.args = verb
        return verb

    def invoke(self, ctx: click.Context) -> object:
        if not ctx.args:
            return click.Command.invoke(self, ctx)
        name, command, arguments = self.resolve_command(ctx, ctx.args)
        assert command is not None
        with command.make_context(name, arguments, parent=ctx) as inner:
            return command.invoke(inner)
