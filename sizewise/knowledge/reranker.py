"""Passages that were found -> in the order in which they help: by their words, or by a model that is asked."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

import msgspec
from msgspec import Raw

from sizewise.data_class import strictest
from sizewise.errors import SizewiseError
from sizewise.guardrails.untrusted_content import marked
from sizewise.handler import Answerer, Ask, quiet
from sizewise.knowledge.keyword_index import words
from sizewise.knowledge.results import Found
from sizewise.messages import Chat, Message

SHARE = 0.1
"""Of the score, what the words have to say; the rest is the store's. On 250 headings of our own docs as questions among
450 passages without them, the first passage was right for 20 % by the store's order, 17 % by this, and 16 % with a half
in its place: it is for who knows better of their own documents, and not what happens unasked."""
SHOWN = 800  # characters of a passage that a model is shown
MOST = 30  # passages that a model is shown
ANSWER = 200  # tokens
SYSTEM = (
    "You put passages in the order in which they help to answer a question. Answer with the numbers of those that help,"
    " the best first, with commas between them, and nothing else. Answer 0 where none does."
)


def by_words(query: str, found: Sequence[Found]) -> list[Found]:
    """How many of the question's words a passage has, the rare ones among those found counting more, and how close to
    the top its headings have them. Of two that overlap, the better stays in front and the other goes to the end."""
    if not found:
        return []
    asked = set(words(query))
    said = [Counter(words(f"{' '.join(each.headings)} {each.title} {each.text}")) for each in found]
    having = Counter(word for each in said for word in asked.intersection(each))
    weight = {word: math.log(1 + len(found) / (1 + having[word])) for word in asked}
    whole = sum(weight.values()) or 1.0
    best = max(each.score for each in found) or 1.0
    scores = [
        (1 - SHARE) * each.score / best + SHARE * sum(weight[word] for word in asked.intersection(counts)) / whole
        for each, counts in zip(found, said, strict=True)
    ]
    order = sorted(range(len(found)), key=lambda at: (-scores[at], at))
    first, last = list[Found](), list[Found]()
    for at in order:
        each = msgspec.structs.replace(found[at], score=round(scores[at], 6))
        (last if any(_overlap(each, other) for other in first) else first).append(each)
    return [*first, *last]


def _overlap(one: Found, other: Found) -> bool:
    """Whether more than half of the shorter stands in the other."""
    if one.document != other.document:
        return False
    shared = min(one.end, other.end) - max(one.start, other.start)
    return 2 * shared > min(one.end - one.start, other.end - other.start)


async def by_model(answer: Answerer, ask: Ask, model: str, query: str, found: Sequence[Found]) -> list[Found]:
    """As `model`, a model or policy, puts them; what it does not name stays behind, in the order it had. Where it fails
    or says something else, all stay as they were: a search is not lost by that."""
    some = list(found[:MOST])
    marks = marked()
    shown = "\n\n".join(marks.text(each.text[:SHOWN], f"passage {at}") for at, each in enumerate(some, 1))
    messages = [
        {"role": "system", "content": f"{SYSTEM} {marks.rule}"},
        {"role": "user", "content": f"Question: {query[:2_000]}\n\n{shown}"},
    ]
    raw = msgspec.json.encode(messages)
    fields = {"model": Raw(msgspec.json.encode(model)), "messages": Raw(raw), "max_tokens": Raw(b"%d" % ANSWER)}
    what = Chat(model, msgspec.json.decode(raw, type=list[Message]), fields, max_tokens=ANSWER)
    classes = [each.data_class for each in some]
    if ask.wishes.data_class is not None:
        classes.append(ask.wishes.data_class)
    wishes = msgspec.structs.replace(
        ask.wishes, policy=None, idempotency_key=None, session=None, data_class=strictest(*classes)
    )
    try:
        reply = await answer(msgspec.structs.replace(ask, what=what, wishes=wishes, found=None, fence=None), quiet)
    except SizewiseError:
        return list(found)
    numbers = [int(each) for each in re.findall(r"\d{1,3}", reply.text[:2_000])]
    named = list(dict.fromkeys(each for each in numbers if 1 <= each <= len(some)))
    rest = [at for at in range(1, len(some) + 1) if at not in named]
    return [*(some[at - 1] for at in (*named, *rest)), *found[MOST:]]
