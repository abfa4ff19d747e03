"""Answer format: the languages and tool calls that a request allows in its answer. Reveals no word of the request.

Computed only when a judge needs it, because most requests are not judged.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec
from msgspec import Raw, Struct

from sizewise.errors import BadBody
from sizewise.messages import ChatRequest, FunctionCall
from sizewise.routing.structured_output import compile_output_schema
from sizewise.routing.text.code_blocks import text_outside_blocks
from sizewise.routing.text.language_detection import detect_language, mentions_language
from sizewise.routing.text.language_identifier import identify_language
from sizewise.routing.text.prompt_features import fold_text, guess_language, tokenize, user_text

MAX_QUESTION_WORDS = 60  # words of a simple question; a longer one may contain someone else's text
MAX_GUESSED_CHARS = 2_000
RECENT_MESSAGES = 6  # messages at the end of a conversation that are checked for their language

_QUOTES = re.compile(r"[\"“”„«»「『`\n]|\A[^:]*:\s*(?:\S+\s+){2}\S")
"""A quotation, a further line, or text after a colon: possibly not the user's own words.

Only the first colon is tried: starting from each of a million colons would take quadratic time.
"""


class _FunctionDefinition(Struct):
    name: str = ""
    parameters: Raw = Raw(b"null")


class _Tool(Struct):
    type: str = ""
    function: _FunctionDefinition | None = None


_tools = msgspec.json.Decoder(list[_Tool]).decode


class AnswerFormat(Struct, frozen=True):
    """Expectations of a chat request; without a request there are none."""

    _chat: ChatRequest | None = None

    def expected_languages(self) -> frozenset[str]:
        """Languages in which an answer is expected, by the names of language_detection.py; empty if uncertain.

        Certain only for a short question of one line without quotations, in a conversation that mentions no language.
        Languages of recent messages are expected too.
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

    def question_language(self) -> str:
        """The ISO 639 code of the user's own last words, without their code; empty if it is uncertain."""
        words = "" if self._chat is None else user_text(self._chat)
        return identify_language(text_outside_blocks(words)) if words else ""

    def guessed_language(self) -> str:
        """A guess of the question's language, as `guess_language` names it, from its first MAX_GUESSED_CHARS."""
        folded = fold_text("" if self._chat is None else user_text(self._chat)[:MAX_GUESSED_CHARS])
        return guess_language(folded, tokenize(folded))

    def is_one_question(self) -> bool:
        """Whether there is one message of the user, of text alone, and no answer before it; True without a request."""
        chat = self._chat
        if chat is None:
            return True
        roles = [message.role for message in chat.messages]
        asked_once = roles.count("user") == 1 and not {"assistant", "tool"}.intersection(roles)
        return asked_once and not chat.input_modalities()

    def tool_call_error(self, call: FunctionCall) -> str:
        """Why this call is invalid, as a sentence that quotes nothing; empty if it is valid or cannot be checked."""
        offered, all_known = self._offered_functions()
        if not offered:
            return ""
        if call.name not in offered:
            return "a tool call names a tool that was not offered" if all_known else ""
        try:
            schema = msgspec.json.decode(offered[call.name], type=dict[str, object] | None)
            promise = compile_output_schema(schema, "tools") if schema else None
        except (BadBody, msgspec.DecodeError, RecursionError):
            return ""  # a schema that we cannot read; the client may
        breach = None if promise is None else promise.check_text(call.arguments or "{}")
        return "" if breach is None else f"a tool call's arguments violate the tool's schema ({breach.keyword})"

    def contains(self, text: str) -> bool:
        """Whether the request contains this text: an answer that quotes it is not at fault."""
        return self._chat is not None and any(text in message.text for message in self._chat.messages)

    def _offered_functions(self) -> tuple[Mapping[str, Raw], bool]:
        """Parameter schemas by function name; and whether all tools are functions."""
        raw = None if self._chat is None else self._chat.fields.get("tools")
        if raw is None:
            return {}, False
        try:
            tools = _tools(raw)
        except msgspec.DecodeError:
            return {}, False
        known = [tool.function for tool in tools if tool.type == "function" and tool.function is not None]
        return {each.name: each.parameters for each in known}, len(known) == len(tools)
