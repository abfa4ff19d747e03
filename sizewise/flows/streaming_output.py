"""Streaming output of a flow: sends the text of one node to the client, each delta once and in order."""

from __future__ import annotations

from collections.abc import Mapping

from sizewise.errors import StreamInterrupted
from sizewise.flows.compiled_flow import StreamSource
from sizewise.flows.language.filters import to_text
from sizewise.flows.language.types import Json
from sizewise.handler import ModelSelected, ReasoningDelta, Send, TextDelta, discard_events


class StreamingOutput:
    """Sends the text of the flow's stream source to the client."""

    def __init__(self, send: Send, source: StreamSource | None, model_selected: ModelSelected) -> None:
        self.send = send
        self.source = source
        self._model_selected: ModelSelected | None = model_selected
        self._ended: dict[str, bool] = {}  # finished nodes of the stream source -> whether they returned text
        self.sent: list[str] = []

    def can_stream(self, id: str) -> bool:
        """Whether this node streams: all nodes before it in the source have ended without text."""
        if self.source is None or id not in self.source.nodes:
            return False
        before = self.source.nodes[: self.source.nodes.index(id)]
        return all(self._ended.get(each) is False for each in before)

    def node_ended(self, id: str, result: Json, field: str) -> None:
        if self.source is not None and id in self.source.nodes:
            self._ended[id] = isinstance(result, dict) and bool(result.get(field))

    async def start(self) -> None:
        if self._model_selected is not None:
            chosen, self._model_selected = self._model_selected, None
            await self.send(chosen)

    async def send_delta(self, event: TextDelta | ReasoningDelta) -> None:
        await self.start()
        if isinstance(event, TextDelta):
            if event.choice:
                return
            self.sent.append(event.text)
            await self.send(TextDelta(0, event.text))
        else:
            await self.send(ReasoningDelta(0, event.text))

    async def finish(self, outputs: Mapping[str, Json]) -> None:
        """Sends the rest of the output text. Raises StreamInterrupted if the sent text is not its beginning."""
        await self.start()
        if self.source is None:
            return
        text, said = to_text(outputs.get(self.source.output)), "".join(self.sent)
        if not text.startswith(said):
            raise StreamInterrupted("the flow's final output differs from what was streamed", "Run the flow again.")
        if len(text) > len(said):
            await self.send(TextDelta(0, text[len(said) :]))


def discarded_output() -> StreamingOutput:
    """For nodes whose text is not streamed."""
    return StreamingOutput(discard_events, None, ModelSelected("", "", 0))
