"""The `checkFacts` field: words, reading grade and key facts of a text; asks no model."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from sizewise.advisor.response_metrics import FORMULA, measure_response, parse_facts
from sizewise.errors import BadRequest
from sizewise.flows.language.types import Json
from sizewise.graphql.context import RequestContext
from sizewise.graphql.model_type import FieldValues

MAX_CHARS = 200_000
MAX_FACTS = 100


async def check_facts(context: RequestContext, text: str, facts: Json = None) -> FieldValues:
    """Raises BadRequest."""
    if not isinstance(facts, Mapping | None):
        hint = 'pass names with patterns, as {"time dilation": ["time dilat"]}'
        raise BadRequest("`facts` is not an object", hint, param="facts")
    if len(text) > MAX_CHARS:
        raise BadRequest(f"the text has {len(text):,} characters", f"pass at most {MAX_CHARS:,}", param="text")
    if facts and len(facts) > MAX_FACTS:
        raise BadRequest(f"there are {len(facts):,} facts", f"pass at most {MAX_FACTS}", param="facts")
    wanted = parse_facts(facts) if facts else ()
    found = await asyncio.to_thread(measure_response, text, wanted)
    return {
        "words": found.words,
        "readingGrade": found.reading_grade,
        "readingFormula": FORMULA,
        "facts": [{"name": each.name, "found": each.name in found.facts} for each in wanted],
    }
