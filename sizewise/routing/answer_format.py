"""Answer format: the languages and tool calls that a request allows in its answer. Reveals no word of the request.

Worked out only when a judge asks: most requests are judged by nobody, and they shall not pay for it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec
from msgspec import Raw, Struct

from sizewise.errors import BadBody
from sizewise.messages import ChatRequest, FunctionCall
from sizewise.routing.structured_output import compile_output_schema
from sizewise.routing.text.language_detection import detect_language, mentions_language
from sizewise.routing.text.prompt_features import user_text

MAX_QUESTION_WORDS = 60  # of a plain question; a longer one may hold a text that somebody else wrote
RECENT_MESSAGES = 6  # messages at the end of a conversation whose language counts

_QUOTES = re.compile(r"[\"“”„«»「『`\n]|\A[^:]*:\s*(?:\S+\s+){2}\S")
"""A quotation, another line, something after a colon: words that may not be the person's own.

Only the first colon is looked at, behind which all others are too: from each of a million it would take for ever.
"""


class _FunctionDefinition(Struct):
    name: str = ""
    parameters: Raw = Raw(b"null")


class _Tool(Struct):
    type: str = ""
    function: _FunctionDefinition | None = None


_tools = msgspec.json.Decoder(list[_Tool]).decode


class AnswerFormat(Struct, frozen=True):
    """Of a chat request; without one nothing is known, and nothing is objected to."""

    _chat: ChatRequest | None = None

    def expected_languages(self) -> frozenset[str]:
        """In which an answer is expected, by the names of languages.py; empty where that is not sure.

        Sure is a short question of one line that quotes nothing, in a conversation that nowhere speaks of languages.
        What was answered before in another language, and the person went on, is expected too.
        """
        chat = self._chat
        words = "" if chat is None else user_text(chat)
        if chat is None or not words or len(words.split()) > MAX_QUESTION_WORDS or _QUOTES.search(words.strip()):
            return frozenset()
        mine = detect_language(words)
        if not mine or any(mentions_language(message.text) for message in chat.messages):
            return frozenset()
        turns = [message for message in chat.messages if message.role in ("user", "assistant")]
        return frozenset({mine, *(detect_language(turn.text) for turn in turns[-RECENT_MESSAGES:])}) - {""}

    def tool_call_error(self, call: FunctionCall) -> str:
        """Why this call cannot be made, as a sentence that quotes nothing; empty where it can, or nobody can tell."""
        offered, all_known = self._offered_functions()
        if not offered:
            return ""
        if call.name not in offered:
            return "a tool call names a tool that was not offered" if all_known else ""
        try:
            schema = msgspec.json.decode(offered[call.name], type=dict[str, object] | None)
            promise = compile_output_schema(schema, "tools") if schema else None
        except (BadBody, msgspec.DecodeError, RecursionError):
            return ""  # whoever offered it may know what it means
        breach = None if promise is None else promise.check_text(call.arguments or "{}")
        return "" if breach is None else f"a tool call's arguments break the tool's schema ({breach.keyword})"

    def contains(self, text: str) -> bool:
        """Whether the request itself holds this text: an answer that quotes it is not to blame for it."""
        return self._chat is not None and any(text in message.text for message in self._chat.messages)

    def _offered_functions(self) -> tuple[Mapping[str, Raw], bool]:
        """The functions by name, with the schemas of their arguments; and whether there is no tool of another kind."""
        raw = None if self._chat is None else self._chat.fields.get("tools")
        if raw is None:
            return {}, False
        try:
            tools = _tools(raw)
        except msgspec.DecodeError:
            return {}, False
        known = [tool.function for tool in tools if tool.type == "function" and tool.function is not None]
        return {each.name: each.parameters for each in known}, len(known) == len(tools)
