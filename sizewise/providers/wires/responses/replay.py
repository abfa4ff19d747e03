"""Whole response -> the events of its stream, each text in one piece; pure, the same events each time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sizewise.providers.wires.responses.response_object import empty_part
from sizewise.providers.wires.responses.stream_out import PARTS, last_event_name, write_event

Json = dict[str, Any]

EMPTY_ITEM: Mapping[str, Json] = {
    "message": {"content": []},
    "function_call": {"arguments": ""},
    "reasoning": {"summary": []},
}
"""Item type -> the fields that its deltas fill."""


def response_events(response: Json) -> list[bytes]:
    """The events from `response.created` to the last; an event's place is its sequence number."""
    replay = _Replay()
    begun = response | {"status": "in_progress", "output": [], "usage": None, "completed_at": None, "error": None}
    begun["incomplete_details"] = None
    replay.add("response.created", response=begun)
    replay.add("response.in_progress", response=begun)
    for place, item in enumerate(response["output"]):
        replay.add_item(place, item)
    replay.add(f"response.{last_event_name(response['status'])}", response=response)
    return replay.events


class _Replay:
    def __init__(self) -> None:
        self.events: list[bytes] = []

    def add(self, kind: str, **fields: object) -> None:
        self.events.append(write_event(kind, len(self.events), **fields))

    def add_item(self, place: int, item: Json) -> None:
        status = {"status": "in_progress"} if "status" in item else {}
        empty = EMPTY_ITEM.get(item["type"], {})
        without = {name: value for name, value in item.items() if name != "content" or name in empty}
        self.add("response.output_item.added", output_index=place, item=without | empty | status)
        where = {"item_id": item.get("id"), "output_index": place}
        for name in ("summary", "content"):
            for number, part in enumerate(item.get(name) or ()):
                self._add_part(where, number, part)
        if item["type"] == "function_call":
            words = item["arguments"]
            self.add("response.function_call_arguments.delta", **where, delta=words)
            self.add("response.function_call_arguments.done", **where, arguments=words, name=item["name"])
        self.add("response.output_item.done", output_index=place, item=item)

    def _add_part(self, where: Json, number: int, part: Json) -> None:
        how = PARTS.get(part["type"])
        if how is None:
            return
        at, words = {**where, how.index: number}, part[how.field]
        more = {"logprobs": part.get("logprobs") or []} if part["type"] == "output_text" else {}
        self.add(f"response.{how.part_event}.added", **at, part=empty_part(part["type"]))
        if words:
            self.add(f"response.{how.text_event}.delta", **at, delta=words, **more)
        for place, each in enumerate(part.get("annotations") or ()):
            self.add("response.output_text.annotation.added", **at, annotation=each, annotation_index=place)
        self.add(f"response.{how.text_event}.done", **at, **{how.field: words}, **more)
        self.add(f"response.{how.part_event}.done", **at, part=part)
