"""`sizewise annotate`: labels the items of a queue, one after another, by keys or by options; judges nothing."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import click
import msgspec

from sizewise.app.dataset_addition import read_lines
from sizewise.cli import operations
from sizewise.cli.api_client import ApiClient
from sizewise.cli.dataset_files import write_lines
from sizewise.cli.options import api_client, refuse_options, server_options, wants_json
from sizewise.cli.output import dim, format_count, write_json, write_table
from sizewise.cli.printable import printable
from sizewise.errors import BadRequest

SKIPS = ("unclear", "cannot_judge", "language", "sensitive", "broken")
PAGE = 100
KEYS = "1-9 choose, s skip, u previous, c comment, q quit"


@click.command()
@click.argument("queue", required=False)
@click.option("--item", metavar="ID", help="Label this item, which you hold, without questions.")
@click.option("--score", "words", multiple=True, metavar="NAME=WORD", help="A word for a score of --item; repeatable.")
@click.option("--skip", type=click.Choice(SKIPS), help="Skip --item for this reason.")
@click.option("--comment", help="Of --item; stored encrypted.")
@click.option("--add", type=click.Path(path_type=Path), metavar="FILE", help="Add items, such as of `eval label`.")
@click.option("--agreement", is_flag=True, help="Show how far two people agree on the same items.")
@click.option("--export", type=click.Path(path_type=Path), metavar="FILE", help="Write the labels for a judge.")
@server_options
def annotate(
    queue: str | None,
    item: str | None,
    words: tuple[str, ...],
    skip: str | None,
    comment: str | None,
    add: Path | None,
    agreement: bool,
    export: Path | None,
) -> None:
    """Label answers without seeing who gave them.

    Shows one item at a time: 1-9 choose a word, s skips, u goes back, c adds a comment, q quits. With --json it shows
    the next item; with --item it labels one. Without a QUEUE the queues are listed. --export writes blind labels for
    `eval calibrate-judge` and `eval gate --labels`.

    \b
    Example: sizewise annotate resolved
             sizewise annotate resolved --add labels.jsonl
    """
    client = api_client()
    if queue is None:
        refuse_options("without a QUEUE", "item", "words", "skip", "comment", "add", "agreement", "export")
        _list(client)
    elif add is not None:
        refuse_options("with --add", "item", "words", "skip", "comment", "agreement", "export")
        _add(client, queue, add)
    elif agreement:
        refuse_options("with --agreement", "item", "words", "skip", "comment", "export")
        _agreement(client, queue)
    elif export is not None:
        refuse_options("with --export", "item", "words", "skip", "comment")
        _export(client, queue, export)
    elif item is not None:
        _submit(client, queue, item, _scores(words), comment, skip)
    else:
        refuse_options("without --item", "words", "skip", "comment")
        _show_next(client, queue)


def _show_next(client: ApiClient, queue: str) -> None:
    if wants_json():
        write_json(msgspec.to_builtins(asyncio.run(operations.get_annotation_queue(client, name=queue))))
    else:
        _label(client, queue)


def _list(client: ApiClient) -> None:
    found = asyncio.run(operations.list_annotation_queues(client))
    if wants_json():
        write_json(msgspec.to_builtins({"queues": found}))
    elif not found:
        click.echo("There is no annotation queue. Add [annotation.NAME] to sizewise.toml: docs/how-to/feedback.md")
    else:
        rows = [(each.name, f"{each.needed:,}", f"{each.done:,}", f"{each.mine:,}") for each in found]
        write_table(("QUEUE", "NEEDED", "DONE", "MINE"), rows, right="NEEDED DONE MINE")


def _add(client: ApiClient, queue: str, file: Path) -> None:
    if not file.is_file():
        raise BadRequest(f"there is no file {str(file)!r}", "sizewise eval label writes one")
    rows, added = read_lines(file), 0
    for at in range(0, len(rows), PAGE):
        done = asyncio.run(operations.add_annotation_items(client, queue=queue, items=rows[at : at + PAGE]))
        added += done.added
    if wants_json():
        write_json({"queue": queue, "added": added, "known": len(rows) - added})
    else:
        click.echo(f"{format_count(added)} items added to {queue}, {format_count(len(rows) - added)} are known")


def _export(client: ApiClient, queue: str, file: Path) -> None:
    if file.exists():
        raise BadRequest(f"there is already {str(file)!r}", "name another file")
    lines, after, seen = list[dict[str, object]](), 0, 0
    while found := asyncio.run(operations.list_annotation_labels(client, queue=queue, first=PAGE, after=after)):
        after = max(each.number for each in found)
        for each in found:
            line = {name: getattr(each, name) for name in ("ref", "score", "input", "answer", "expected", "criteria")}
            lines += [{**line, "label": each.label}] if each.blind else []
            seen += not each.blind
    write_lines(file, lines)
    if wants_json():
        write_json({"file": str(file), "labels": len(lines), "not_blind": seen})
        return
    click.echo(f"{file}: {format_count(len(lines))} blind labels")
    if seen:
        click.echo(dim(f"{format_count(seen)} are left out: who gave them knew the answer's record"), err=True)


def _agreement(client: ApiClient, queue: str) -> None:
    found = asyncio.run(operations.get_label_agreement(client, name=queue)).agreement
    if wants_json():
        write_json(msgspec.to_builtins({"queue": queue, "agreement": found}))
        return
    rows = [
        (
            each.score,
            f"{each.items:,}",
            f"{each.agreed / each.items:.0%}" if each.items else "",
            "" if each.kappa is None else f"{each.kappa:.2f}",
            "" if each.low is None or each.high is None else f"{each.low:.2f} to {each.high:.2f}",
        )
        for each in found
    ]
    write_table(("SCORE", "PAIRS", "AGREED", "KAPPA", "95 %"), rows, right="PAIRS AGREED KAPPA")


def _scores(words: tuple[str, ...]) -> dict[str, str]:
    for each in words:
        if "=" not in each:
            raise BadRequest(f"--score is {each!r}", "use NAME=WORD, such as resolved=yes")
    return dict(each.split("=", 1) for each in words)


def _submit(
    client: ApiClient,
    queue: str,
    item: str,
    scores: dict[str, str],
    comment: str | None,
    skip: str | None,
) -> None:
    done = asyncio.run(
        operations.annotate(client, queue=queue, item=item, scores=scores or None, comment=comment, skip=skip)  # type: ignore[arg-type]  # one of SKIPS
    )
    if wants_json():
        write_json(msgspec.to_builtins(done))
        return
    click.echo(f"{'skipped' if skip else 'labeled'}; {_progress(done.needed, done.mine)}")
    if done.next is not None:
        _show(done.next)


def _label(client: ApiClient, queue: str) -> None:
    """At the keyboard. On a failure the item stays, and nothing is lost."""
    if not sys.stdin.isatty():
        raise BadRequest("labels are given at a terminal", "without one: --json, then --item ID --score NAME=WORD")
    found = asyncio.run(operations.get_annotation_queue(client, name=queue))
    click.echo(f"{printable(found.rubric, lines=True)}\n")
    item, past, needed = found.next, list(reversed(found.labeled)), found.needed
    while item is not None:
        _show(item)
        said = _ask(item)
        if said is None:
            return
        if isinstance(said, str):
            item = past.pop() if past else item
            continue
        scores, comment, skip = said
        done = asyncio.run(
            operations.annotate(client, queue=queue, item=item.id, scores=scores or None, comment=comment, skip=skip)  # type: ignore[arg-type]  # one of SKIPS
        )
        past.append(item)
        item, needed = done.next, done.needed
        click.echo(dim(_progress(done.needed, done.mine)) + "\n")
    if needed:
        click.echo("There is no item for you: others hold or label the rest")
    else:
        rules = f"; more come by: {', '.join(found.rules)}" if found.rules else ""
        click.echo(f"All items have the labels they need{rules}")


def _ask(
    item: operations.AnnotationItem,
) -> tuple[dict[str, str], str | None, str | None] | str | None:
    """`u`: the previous item; None: no more."""
    scores, comment = dict[str, str](), None
    for option in item.options:
        shown = "  ".join(f"{place} {word}" for place, word in enumerate(option.words, 1))
        while True:
            click.echo(f"{option.name}:  {shown}   ({KEYS}) ", nl=False)
            key = click.getchar()
            click.echo(key if key.isprintable() else "")
            if key in ("q", "\x03", "\x04"):
                return None
            if key == "u":
                return "u"
            if key == "s":
                return {}, None, click.prompt("reason", type=click.Choice(SKIPS))
            if key == "c":
                comment = click.prompt("comment")
            elif key.isdecimal() and 1 <= int(key) <= len(option.words):
                scores[option.name] = option.words[int(key) - 1]
                break
    return scores, comment, None


def _show(item: operations.AnnotationItem) -> None:
    said = item.input if isinstance(item.input, str) else msgspec.json.format(msgspec.json.encode(item.input)).decode()
    click.echo(f"{dim('question')}\n{printable(said, lines=True)}\n")
    if item.expected is not None:
        click.echo(f"{dim('expected')}\n{printable(str(item.expected))}\n")
    if item.criteria:
        click.echo(f"{dim('criteria')}\n{printable(item.criteria, lines=True)}\n")
    for name, answer in zip("AB" if len(item.answers) > 1 else [""], item.answers, strict=True):
        click.echo(f"{dim(f'answer {name}'.strip())}\n{printable(answer, lines=True)}\n")


def _progress(needed: int, mine: int) -> str:
    return f"{format_count(mine)} labeled by you, {format_count(needed)} labels still needed"
