"""Fields of prompts: the files of the folder with their versions and variables; the text needs a permission."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import msgspec
from msgspec import UNSET

from sizewise.app.prompt_uses import PromptCaller, prompt_uses
from sizewise.graphql.context import RequestContext
from sizewise.graphql.eval_fields import evals_folder
from sizewise.graphql.model_type import FieldValues
from sizewise.prompts.prompt import Variable
from sizewise.prompts.prompt_library import PromptFile


async def prompts(context: RequestContext) -> list[FieldValues]:
    library, principal = context.app.resources.prompts, context.principal
    found = await asyncio.to_thread(lambda: list(library.files(principal)))
    uses = _Uses(context)
    return [_prompt(context, each, uses) for each in found]


async def prompt(context: RequestContext, id: str) -> FieldValues | None:
    library, principal = context.app.resources.prompts, context.principal
    found = await asyncio.to_thread(library.file, principal, id)
    return None if found is None else _prompt(context, found, _Uses(context))


class _Uses:
    """Where prompts are used, read once for all prompts of an answer."""

    def __init__(self, context: RequestContext) -> None:
        self._context = context
        self._task: asyncio.Task[Mapping[str, tuple[PromptCaller, ...]]] | None = None

    async def of(self, id: str) -> list[FieldValues]:
        if self._task is None:
            principal, folder = self._context.principal, evals_folder(self._context)
            versions = self._context.services.flow_versions
            read = asyncio.to_thread(prompt_uses, versions, principal.tenant, principal.project, folder)
            self._task = asyncio.ensure_future(read)
        return [msgspec.structs.asdict(each) for each in (await self._task).get(id, ())]


def _prompt(context: RequestContext, file: PromptFile, uses: _Uses) -> FieldValues:
    found = file.prompt

    def text(info: object) -> str:
        context.require("manage_flows", "read_contents")
        return "" if found is None else found.text

    return {
        "id": file.id,
        "version": "" if found is None else found.version,
        "description": "" if found is None else found.description,
        "model": None if found is None else found.model or None,
        "policy": None if found is None else found.policy or None,
        "role": "system" if found is None else found.role,
        "variables": [] if found is None else [_variable(name, each) for name, each in found.variables.items()],
        "error": None if file.error is None else file.error.message,
        "text": text,
        "uses": lambda info: uses.of(file.id),
    }


def _variable(name: str, variable: Variable) -> FieldValues:
    return {
        "name": name,
        "type": variable.type,
        "required": variable.is_required,
        "default": None if variable.default is UNSET else variable.default,
        "description": variable.description,
    }
