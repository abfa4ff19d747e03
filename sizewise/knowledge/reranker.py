"""Reranks search results by keywords or by a model."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

import msgspec
from msgspec import Raw

from sizewise.data_class import strictest
from sizewise.errors import SizewiseError
from sizewise.guardrails.untrusted_content import new_markers
from sizewise.handler import Handler, Request, discard_events
from sizewise.knowledge.keyword_index import tokenize
from sizewise.knowledge.results import SearchResult
from sizewise.messages import ChatRequest, Message

OVERLAP_WEIGHT = 0.1
"""Weight of the keyword score, 0..1; the rest is the store's score. With 250 headings of our docs as queries for 450
passages without headings, the first result was right for 20 % by the store's order, for 17 % with this weight, and for
16 % with 0.5. So reranking by keywords is not the default; try it on your own documents."""
MAX_PASSAGE_CHARS = 800  # of a passage shown to the model
MAX_PASSAGES = 30  # shown to the model
MAX_OUTPUT_TOKENS = 200
SYSTEM_PROMPT = (
    "You put passages in the order in which they help to answer a question. Answer with the numbers of those that help,"
    " the best first, with commas between them, and nothing else. Answer 0 where none does."
)


def rerank_by_keywords(query: str, results: Sequence[SearchResult]) -> list[SearchResult]:
    """Combines each score with the share of query words in the passage, its headings and title; words that are rare
    among the results count more. Of two overlapping passages, the worse moves to the end.
    """
    if not results:
        return []
    asked = set(tokenize(query))
    said = [Counter(tokenize(f"{' '.join(each.headings)} {each.title} {each.text}")) for each in results]
    having = Counter(word for each in said for word in asked.intersection(each))
    weight = {word: math.log(1 + len(results) / (1 + having[word])) for word in asked}
    whole = sum(weight.values()) or 1.0
    best = max(each.score for each in results) or 1.0
    scores = [
        (1 - OVERLAP_WEIGHT) * each.score / best
        + OVERLAP_WEIGHT * sum(weight[word] for word in asked.intersection(counts)) / whole
        for each, counts in zip(results, said, strict=True)
    ]
    order = sorted(range(len(results)), key=lambda at: (-scores[at], at))
    first, last = list[SearchResult](), list[SearchResult]()
    for at in order:
        each = msgspec.structs.replace(results[at], score=round(scores[at], 6))
        (last if any(_overlap(each, other) for other in first) else first).append(each)
    return [*first, *last]


def _overlap(one: SearchResult, other: SearchResult) -> bool:
    """Whether more than half of the shorter passage is in the other."""
    if one.document != other.document:
        return False
    shared = min(one.end, other.end) - max(one.start, other.start)
    return 2 * shared > min(one.end - one.start, other.end - other.start)


async def rerank_by_model(
    handler: Handler,
    request: Request,
    model: str,
    query: str,
    results: Sequence[SearchResult],
) -> list[SearchResult]:
    """Order by `model`, a model or policy; passages that it does not name follow in their old order. If the call fails,
    the order is unchanged.
    """
    some = list(results[:MAX_PASSAGES])
    marks = new_markers()
    shown = "\n\n".join(marks.wrap(each.text[:MAX_PASSAGE_CHARS], f"passage {at}") for at, each in enumerate(some, 1))
    messages = [
        {"role": "system", "content": f"{SYSTEM_PROMPT} {marks.instruction}"},
        {"role": "user", "content": f"Question: {query[:2_000]}\n\n{shown}"},
    ]
    raw = msgspec.json.encode(messages)
    fields = {
        "model": Raw(msgspec.json.encode(model)),
        "messages": Raw(raw),
        "max_tokens": Raw(b"%d" % MAX_OUTPUT_TOKENS),
    }
    what = ChatRequest(model, msgspec.json.decode(raw, type=list[Message]), fields, max_tokens=MAX_OUTPUT_TOKENS)
    classes = [each.data_class for each in some]
    if request.options.data_class is not None:
        classes.append(request.options.data_class)
    options = msgspec.structs.replace(
        request.options,
        policy=None,
        idempotency_key=None,
        session=None,
        data_class=strictest(*classes),
    )
    try:
        reply = await handler(
            msgspec.structs.replace(request, payload=what, options=options, scan=None, spotlighting=None),
            discard_events,
        )
    except SizewiseError:
        return list(results)
    numbers = [int(each) for each in re.findall(r"\d{1,3}", reply.text[:2_000])]
    named = list(dict.fromkeys(each for each in numbers if 1 <= each <= len(some)))
    rest = [at for at in range(1, len(some) + 1) if at not in named]
    return [*(some[at - 1] for at in (*named, *rest)), *results[MAX_PASSAGES:]]
