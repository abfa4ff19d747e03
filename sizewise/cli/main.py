"""The entry point `sizewise`: runs a command, and turns every error into two lines and an exit code.

Exit codes: 0 done, 1 the answer is no, 2 you asked wrong, 3 something outside broke, 130 Ctrl-C, 141 nobody reads.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from types import TracebackType

import click

from sizewise import __version__
from sizewise.cli.lazy_group import LazyCommand, LazyGroup
from sizewise.errors import BadRequest, SizewiseError

COMMANDS: Mapping[str, LazyCommand] = {
    "up": LazyCommand("sizewise.cli.up:up", "Serve everything on one port."),
    "ask": LazyCommand("sizewise.cli.ask:ask", "Ask one question through the router."),
    "compare": LazyCommand("sizewise.cli.compare:compare", "Ask a small and a large model the same, side by side."),
    "models": LazyCommand("sizewise.cli.models:models", "The models: list, pull, show, add, probe, remove."),
    "advise": LazyCommand("sizewise.cli.advise:verb", "Small or large model for this work, and why."),
    "route": LazyCommand("sizewise.cli.route:route", "Explain, measure, calibrate, train and test routing."),
    "scan": LazyCommand("sizewise.cli.scan:scan", "Data for poison: copies, triggers, outliers, instructions."),
    "flow": LazyCommand("sizewise.cli.flow:flow", "Flows as files: new, check, run, publish."),
    "knowledge": LazyCommand(
        "sizewise.cli.knowledge:knowledge", "Documents that answers are found in: add, sync, search."
    ),
    "import": LazyCommand("sizewise.cli.import_:import_", "Import from other programs: lamatic."),
    "records": LazyCommand("sizewise.cli.records:records", "What happened, newest first."),
    "savings": LazyCommand(
        "sizewise.cli.savings:savings", "What policies saved, and what is known of the quality lost."
    ),
    "keys": LazyCommand("sizewise.cli.keys:keys", "Keys that may ask: list, create, rotate, revoke."),
    "users": LazyCommand("sizewise.cli.users:users", "Who is here: list, invite, role, disable, sign out."),
    "orgs": LazyCommand("sizewise.cli.orgs:orgs", "Organizations of this server: create."),
    "audit": LazyCommand("sizewise.cli.audit:audit", "The audit trail: list, export, verify."),
    "encryption": LazyCommand(
        "sizewise.cli.encryption:encryption", "The keys that seal prompts and replies: status, rotate."
    ),
    "budgets": LazyCommand("sizewise.cli.budgets:budgets", "What may be asked and spent, and what is left."),
    "doctor": LazyCommand("sizewise.cli.doctor:doctor", "What is wrong with this installation, and the next step."),
    "completion": LazyCommand("sizewise.cli.completion:completion", "Complete words in bash, zsh or fish."),
}

SUBJECTS = (
    ("up ask compare doctor completion", "Serve the API, ask it, compare two models, check this installation."),
    ("advise models route", "Choose models, fetch them, and explain, calibrate and train routing."),
    ("flow knowledge import scan", "Build flows and knowledge bases; import flows; scan data for poison."),
    ("records savings audit", "See what was asked, what it saved, and who changed what."),
    ("keys users orgs budgets encryption", "Manage access, limits and the keys that encrypt stored text."),
)
"""The verbs as the help lists them."""

INTERRUPTED = 130
UNREAD = 141
"""As a program ended by SIGPIPE: `sizewise records | head -1` is no failure anybody wants to read about."""


@click.group(
    cls=LazyGroup,
    lazy_commands=COMMANDS,
    subjects=SUBJECTS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
    subcommand_metavar="VERB ...",
    epilog="Start with: sizewise up. Exit codes: 0 done, 1 no, 2 asked wrong, 3 outside.",
)
@click.version_option(__version__, "--version", "-V", message="%(version)s")
def sizewise() -> None:
    """One API that answers with the smallest language model that is good enough."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Ends the process."""
    sys.excepthook = _unforeseen
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = _run(words)
        sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes once more at the end: let that go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = UNREAD
    sys.exit(code)


def _run(words: list[str]) -> int:
    paper = sys.stdout
    try:
        ended = sizewise.main(words, prog_name="sizewise", standalone_mode=False)
    except SizewiseError as error:
        return _say(error, words)
    except click.exceptions.NoArgsIsHelpError as bare:
        bare.show()
        return bare.exit_code
    except click.ClickException as wrong:
        return _say(_misused(wrong), words)
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except SystemExit:
        if sys.stdout is paper:
            raise
        return UNREAD  # click says 1, which means that the answer is no, and has put a wrapper around stdout
    return ended if isinstance(ended, int) else 0


def _unforeseen(kind: type[BaseException], fault: BaseException, trace: TracebackType | None) -> None:
    """Our own mistake: where it was made, and neither a traceback nor the fault's words, which could be a prompt's."""
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else "?"
    click.echo(f"sizewise: something went wrong inside Sizewise: {kind.__name__} at {where}", err=True)
    click.echo("hint: this is our mistake; tell us this line", err=True)
    sys.stdout.flush()
    os._exit(SizewiseError.exit_code)  # the interpreter would end with 1, which means that the answer is no


def _misused(wrong: click.ClickException) -> BadRequest:
    context = wrong.ctx if isinstance(wrong, click.UsageError) else None
    path = context.command_path if context else "sizewise"
    return BadRequest(wrong.format_message(), f"{path} --help")


def _say(error: SizewiseError, words: list[str]) -> int:
    if "--json" in words[: words.index("--") if "--" in words else None]:
        shown = {"error": {"code": error.code, "message": error.message, "hint": error.hint, "exit": error.exit_code}}
        click.echo(_json(shown))
    else:
        click.echo(f"sizewise: {error.message}", err=True)
        if error.hint:
            click.echo(f"hint: {error.hint}", err=True)
    return error.exit_code


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)


if __name__ == "__main__":
    main()
