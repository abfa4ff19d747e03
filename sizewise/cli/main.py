"""The entry point `sizewise`: runs a command, and turns every error into two lines and an exit code.

Exit codes: 0 success, 1 the answer is no, 2 wrong usage, 3 an external failure, 130 Ctrl-C, 141 stdout was closed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from types import TracebackType

import click

from sizewise import __version__
from sizewise.cli.lazy_group import RENAMED_OPTIONS, LazyCommand, LazyGroup
from sizewise.errors import BadRequest, SizewiseError

COMMANDS: Mapping[str, LazyCommand] = {
    "up": LazyCommand("sizewise.cli.up:up", "Start the server: all APIs on one port."),
    "open": LazyCommand("sizewise.cli.open:open_", "Sign in with the browser, without a password."),
    "ask": LazyCommand("sizewise.cli.ask:ask", "Ask one question through the router."),
    "compare": LazyCommand("sizewise.cli.compare:compare", "Ask several models the same question, side by side."),
    "models": LazyCommand(
        "sizewise.cli.models:models", "Manage models: list, pull, update, show, add, probe, rm, remove."
    ),
    "advise": LazyCommand("sizewise.cli.advise:verb", "Recommend a small or a large model for a workload."),
    "fit": LazyCommand("sizewise.cli.fit:fit", "Show whether a model fits a GPU or this machine."),
    "route": LazyCommand("sizewise.cli.route:route", "Explain, measure, calibrate, train and test routing."),
    "batches": LazyCommand("sizewise.cli.batches:batches", "See and cancel batches of requests."),
    "decisions": LazyCommand("sizewise.cli.decisions:decisions", "List, show, certify and forget decisions."),
    "tune": LazyCommand(
        "sizewise.cli.tune:tune", "Train a small model on one task: setup, plan, run, promote; or distill."
    ),
    "scan": LazyCommand("sizewise.cli.scan:scan", "Scan data for poisoning: copies, triggers, outliers, injection."),
    "flow": LazyCommand("sizewise.cli.flow:flow", "Manage flows as files: new, check, run, publish."),
    "prompt": LazyCommand("sizewise.cli.prompt:prompt", "Manage prompts as files: list, show, check, render, publish."),
    "eval": LazyCommand("sizewise.cli.eval:eval_", "Measure answers: new, run, compare, gate."),
    "bias": LazyCommand("sizewise.cli.bias:bias", "Compare groups of people: run, report, mitigate."),
    "annotate": LazyCommand("sizewise.cli.annotate:annotate", "Label answers without seeing who gave them."),
    "dataset": LazyCommand("sizewise.cli.dataset:dataset", "Manage data sets of evals: add, from-records, split."),
    "release": LazyCommand("sizewise.cli.release:release", "Manage releases: build, plan, apply, promote, roll back."),
    "edge": LazyCommand("sizewise.cli.edge:edge", "Manage edges: a release that answers near its users."),
    "knowledge": LazyCommand("sizewise.cli.knowledge:knowledge", "Manage knowledge bases: add, sync, search."),
    "import": LazyCommand("sizewise.cli.import_:import_", "Import from other programs: settings, evals and flows."),
    "records": LazyCommand("sizewise.cli.records:records", "Show request records, newest first."),
    "scores": LazyCommand("sizewise.cli.scores:scores", "Judgements of users, people, judges: list, add."),
    "savings": LazyCommand(
        "sizewise.cli.savings:savings",
        "Show what policies saved, in money and energy, and the measured loss of quality.",
    ),
    "usage": LazyCommand("sizewise.cli.usage:usage", "Show requests, tokens and cost, the dearest first."),
    "keys": LazyCommand("sizewise.cli.keys:keys", "Manage API keys: list, create, rotate, revoke."),
    "widget": LazyCommand("sizewise.cli.widget:widget", "Manage chat widgets: list, create, revoke."),
    "users": LazyCommand("sizewise.cli.users:users", "Manage users: list, invite, role, disable, sign out."),
    "orgs": LazyCommand("sizewise.cli.orgs:orgs", "Manage organizations: create."),
    "audit": LazyCommand("sizewise.cli.audit:audit", "List, export and verify the audit log."),
    "alerts": LazyCommand("sizewise.cli.alerts:alerts", "Show alerts: list, check, test, silence, unsilence."),
    "encryption": LazyCommand(
        "sizewise.cli.encryption:encryption", "Show and rotate the keys that encrypt prompts and replies."
    ),
    "budgets": LazyCommand("sizewise.cli.budgets:budgets", "Show rate limits and budgets, and what is left."),
    "erase": LazyCommand("sizewise.cli.erase:erase", "Erase the stored data of one person, key, session or end user."),
    "settings": LazyCommand("sizewise.cli.settings:settings", "Change a settings file to this version's names."),
    "backup": LazyCommand("sizewise.cli.backup:backup", "Back up the home to one file, while the server runs."),
    "restore": LazyCommand("sizewise.cli.restore:restore", "Restore a home from a backup."),
    "doctor": LazyCommand(
        "sizewise.cli.doctor:doctor", "Check this installation, and show the next step for each problem."
    ),
    "completion": LazyCommand("sizewise.cli.completion:completion", "Print a completion script for bash, zsh or fish."),
}

SUBJECTS = (
    ("up open ask compare doctor completion", "Start the server, sign in, ask questions, compare models, check it."),
    ("advise fit models route decisions tune", "Choose and download models; calibrate routing; train small ones."),
    ("flow prompt knowledge eval bias annotate dataset release edge", "Build flows; measure answers; release."),
    ("records scores usage batches savings audit alerts", "See requests, their scores and cost, savings, alerts."),
    ("keys widget users orgs budgets encryption", "Manage access, widgets, limits and encryption keys."),
    ("import scan backup restore erase settings", "Move in; scan data; back up; erase a person's data; rename."),
)
"""The commands in the order of the help."""

INTERRUPTED = 130
UNREAD = 141
_IN_WSL = "run it in WSL: wsl --install, then install it in there; pages and SDKs on Windows reach it at localhost"
"""The exit code of a program ended by SIGPIPE: `sizewise records | head -1` is not worth an error message."""


@click.group(
    cls=LazyGroup,
    lazy_commands=COMMANDS,
    subjects=SUBJECTS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
    subcommand_metavar="VERB ...",
    epilog="Start with: sizewise up. Exit codes: 0 success, 1 negative result, 2 wrong usage, 3 external failure.",
)
@click.version_option(__version__, "--version", "-V", message="%(version)s")
def sizewise() -> None:
    """One API that answers with the smallest language model that is good enough."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Ends the process."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    sys.excepthook = partial(_unforeseen, words)
    if sys.platform == "win32":
        sys.exit(_say(BadRequest("Sizewise does not run on Windows itself", _IN_WSL), words))
    try:
        code = _run(words)
        sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes stdout once more at exit: discard that.
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
        return _say(_misused(wrong, words), words)
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except SystemExit:
        if sys.stdout is paper:
            raise
        return UNREAD  # click exits with 1, which means "no" here, and has wrapped stdout
    return ended if isinstance(ended, int) else 0


def _unforeseen(words: list[str], kind: type[BaseException], fault: BaseException, trace: TracebackType | None) -> None:
    """A bug in Sizewise: shows where, without a traceback or the exception message, which may hold prompt text."""
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else "?"
    code = _say(
        SizewiseError(
            f"internal error: {kind.__name__} at {where}", "this is a bug in Sizewise; please report this line"
        ),
        words,
    )
    sys.stdout.flush()
    os._exit(code)  # the interpreter would exit with 1, which means "no" here


def _misused(wrong: click.ClickException, words: list[str]) -> BadRequest:
    context = wrong.ctx if isinstance(wrong, click.UsageError) else None
    path = context.command_path if context else _command_path(words)
    if isinstance(wrong, click.NoSuchOption):
        old = f"{path.removeprefix('sizewise ')} {wrong.option_name}"
        if old in RENAMED_OPTIONS:
            return BadRequest(f"there is no option {wrong.option_name}", f"it was renamed to {RENAMED_OPTIONS[old]}")
    return BadRequest(wrong.format_message(), f"{path} --help")


def _command_path(words: list[str]) -> str:
    """The command that `words` name, for errors that click raises without saying where."""
    named: list[str] = []
    command: click.Command | None = sizewise
    for word in words:
        command = command.get_command(click.Context(command), word) if isinstance(command, click.Group) else None
        if command is None:
            break
        named.append(word)
    return " ".join(("sizewise", *named))


def _say(error: SizewiseError, words: list[str]) -> int:
    if "--json" in words[: words.index("--") if "--" in words else None]:
        from sizewise.cli.output import write_json

        shown = {"error": {"code": error.code, "message": error.message, "hint": error.hint, "exit": error.exit_code}}
        write_json(shown)
    else:
        click.echo(f"sizewise: {error.message}", err=True)
        if error.hint:
            click.echo(f"hint: {error.hint}", err=True)
    return error.exit_code


if __name__ == "__main__":
    main()
