"""Code judge: rejects fenced Python that does not parse and fenced JSON that does not decode. Runs no code."""

from __future__ import annotations

import ast
import json
import warnings

from sizewise.messages import Reply
from sizewise.routing.policy import RequestFeatures, Verdict
from sizewise.routing.text.code_blocks import CodeBlock, code_blocks

MAX_CHARS = 10_000  # characters of all blocks together; parsing them takes 10 ms, or 0.1 s for adversarial input
SHELL_PREFIXES = (">>>", "%", "!", "$", "In [")
"""Prefixes of lines typed into an interactive shell or notebook, which are not Python."""


def code(features: RequestFeatures, replies: tuple[Reply, ...]) -> Verdict:
    """0 for the first invalid block, unless the request itself contains it; no score if there is none."""
    left = MAX_CHARS
    for block in (each for reply in replies for choice in reply.choices for each in code_blocks(choice.text)):
        left -= len(block.text)
        if left < 0:
            break
        why = _broken(block)
        if why and not features.answer_format.contains(block.text.strip()):
            return Verdict(0.0, why)
    return Verdict(None, "")


def _broken(block: CodeBlock) -> str:
    if block.language in ("python", "py", "python3"):
        return "the reply contains invalid Python" if not _parses(block.text) else ""
    if block.language == "json":
        return "the reply contains invalid JSON" if not _decodes(block.text) else ""
    return ""


def _parses(text: str) -> bool:
    """True also if parsing exceeds a limit, as deep code may be valid. Shell sessions are not checked."""
    if any(line.lstrip().startswith(SHELL_PREFIXES) for line in text.splitlines()):
        return True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "\d" is a warning, and warnings may be errors
            ast.parse(text)
    except (SyntaxError, ValueError):  # ValueError: a null character
        return False
    except (MemoryError, RecursionError, SystemError):
        # SystemError: it was parsed. Python 3.11 then miscounts if the garbage collector ran code that parses too,
        # as the printing of a traceback does (python/cpython#106905).
        return True
    return True


def _decodes(text: str) -> bool:
    """As a whole, or line by line."""
    return _is_json(text) or all(_is_json(line) for line in text.splitlines() if line.strip())


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    except RecursionError:
        return True
    return True
