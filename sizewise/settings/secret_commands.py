"""Secrets by command (`exec:COMMAND`): asks the program of a secret manager, keeps its answer in memory, shows neither.

Only settings name commands; requests, flows and releases cannot. The command is no shell line: it is split into words.
"""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sizewise.errors import ConfigError, ExternalFailure
from sizewise.process import run
from sizewise.settings.setting_texts import setting_texts

PREFIX = "exec:"
TIMEOUT_S = 10.0
MAX_BYTES = 65_536  # a longer answer is not a secret
MAX_AT_ONCE = 8
_HINT = "run the command by hand, as the user of the server and with its environment, to see why"


class SecretCommand(str):
    """An `exec:` reference of the settings, with what its command said last. `value`: empty before that. `problem`: why
    it said nothing usable; the value before stays, so that a secret manager that is away stops nothing.
    """

    folder = Path()
    value = ""
    problem = ""

    @classmethod
    def of(cls, text: str, folder: Path) -> SecretCommand:
        """`folder`: where the path of a program begins, as `./secret.sh`. Raises ValueError for unclosed quotes."""
        shlex.split(text)
        made = cls(text)
        made.folder = folder
        return made

    @property
    def program(self) -> str:
        """All that is shown of the command: its arguments may be secret."""
        return next(iter(shlex.split(self.removeprefix(PREFIX))), "")

    def fetch(self) -> bool:
        """Runs the command, in the thread that calls; whether its answer is another one than before. Never raises."""
        try:
            found, self.problem = self._run(), ""
        except ExternalFailure as error:
            self.problem = error.message
            return False
        has_changed, self.value = found != self.value, found
        return has_changed

    def _run(self) -> str:
        """Raises ExternalFailure, with nothing that the command said."""
        first, *others = shlex.split(self.removeprefix(PREFIX)) or [""]
        program = str(self.folder / Path(first).expanduser()) if "/" in first else first
        try:
            # In a thread: the caller's may have an event loop.
            with ThreadPoolExecutor(1) as pool:
                called = run([program, *others], TIMEOUT_S, max_output_bytes=MAX_BYTES)
                ended = pool.submit(asyncio.run, called).result()
        except ExternalFailure as error:
            why = (
                f"took longer than {TIMEOUT_S:g} s"
                if isinstance(error.__cause__, TimeoutError)
                else "cannot be started"
            )
            raise ExternalFailure(f"{first!r} {why}", _HINT) from None
        if ended.exit_code:
            raise ExternalFailure(f"{first!r} ended with code {ended.exit_code}", _HINT)
        found = ended.stdout.strip()
        if not found:
            raise ExternalFailure(f"{first!r} printed nothing", _HINT)
        if not (found.isprintable() and found.isascii()):
            raise ExternalFailure(f"what {first!r} printed is not one printable line of ASCII", _HINT)
        return found


def command_answer(reference: str) -> str:
    """What the command said last; runs it if it was never run. Raises ConfigError."""
    command = reference if isinstance(reference, SecretCommand) else SecretCommand.of(reference, Path())
    if not command.value and not command.problem:
        command.fetch()
    if not command.value:
        raise ConfigError(f"no secret by command: {command.problem}", _HINT)
    return command.value


def find_commands(settings: object) -> Iterator[SecretCommand]:
    """All that settings name, in no order; the same text may be there several times."""
    return (each for each in setting_texts(settings) if isinstance(each, SecretCommand))


def fetch_commands(settings: object, *, only_new: bool = False) -> bool:
    """Runs each command once, several at a time; whether an answer has changed. `only_new`: those without an answer."""
    by_text: dict[str, list[SecretCommand]] = {}
    for each in find_commands(settings):
        if not (only_new and each.value):
            by_text.setdefault(str(each), []).append(each)
    if not by_text:
        return False
    with ThreadPoolExecutor(MAX_AT_ONCE) as pool:
        changed = list(pool.map(SecretCommand.fetch, [same[0] for same in by_text.values()]))
    for first, *others in by_text.values():
        _share(first, others)
    return any(changed)


def keep_answers(old: object, new: object) -> None:
    """Gives the commands of `new` settings the answers that the same ones of `old` have, so that they need not run."""
    known = {str(each): each for each in find_commands(old)}
    for each in find_commands(new):
        if str(each) in known:
            _share(known[str(each)], [each])


def _share(first: SecretCommand, others: list[SecretCommand]) -> None:
    for each in others:
        each.value, each.problem = first.value, first.problem
