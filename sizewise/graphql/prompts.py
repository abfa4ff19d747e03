"""Fields of prompts: the files of the folder with their versions and variables, and publishing one; renders none."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import msgspec
from msgspec import UNSET

from sizewise.app.prompt_uses import PromptCaller, prompt_uses
from sizewise.auth.api_keys import audit_event
from sizewise.auth.authorization import Resource, require_permission
from sizewise.errors import BadRequest
from sizewise.flows.language.yaml_source import parse_yaml
from sizewise.graphql.context import RequestContext
from sizewise.graphql.eval_fields import evals_folder
from sizewise.graphql.model_type import FieldValues
from sizewise.graphql.published_commit import commit_fields, require_short_note
from sizewise.prompts.prompt import PROMPT_ID, PromptSyntaxError, Variable, parse_prompt
from sizewise.prompts.prompt_library import PromptFile
from sizewise.releases.publication import Publication


async def prompts(context: RequestContext) -> list[FieldValues]:
    library, principal = context.app.resources.prompts, context.principal
    found = await asyncio.to_thread(lambda: list(library.files(principal)))
    uses = _Uses(context)
    return [_prompt(context, each, uses) for each in found]


async def prompt(context: RequestContext, id: str) -> FieldValues | None:
    library, principal = context.app.resources.prompts, context.principal
    found = await asyncio.to_thread(library.file, principal, id)
    return None if found is None else _prompt(context, found, _Uses(context))


async def publish_prompt(
    context: RequestContext, id: str, text: str, expected_version: str | None = None, note: str = ""
) -> FieldValues:
    """Raises BadRequest with the line of the first error, and Conflict if the prompt was changed meanwhile or its file
    cannot be written.
    """
    require_short_note(note)
    principal, services, library = context.principal, context.services, context.app.resources.prompts
    require_permission(principal, "manage_flows", Resource(principal.tenant, principal.project))
    its = Publication("prompt", id, text, expected=expected_version, note=note)
    version = await asyncio.to_thread(_checked_version, id, text)
    if services.git_publisher.takes(principal.tenant, principal.project):
        made = await services.git_publisher.publish(principal, its)
        return {"prompt": None, "new": False, "commit": commit_fields(made)}
    before = await asyncio.to_thread(library.file, principal, id)
    live = "" if before is None or before.prompt is None else before.prompt.version
    its.require_replaces(live, "the folder")
    if live != version:
        await asyncio.to_thread(library.replace, principal, id, text)
        details: dict[str, object] = {"version": version, **({"note": note} if note else {})}
        name = f"prompt:{principal.project}/{id}"
        event = audit_event(principal, principal.tenant, "prompt.publish", name, {"version": live}, details)
        await services.audit_log.append(event)
    found = await asyncio.to_thread(library.file, principal, id)
    published = None if found is None else _prompt(context, found, _Uses(context))
    return {"prompt": published, "new": live != version, "commit": None}


def _checked_version(id: str, text: str) -> str:
    if PROMPT_ID.fullmatch(id) is None:
        raise BadRequest(f"{id[:60]!r} is not a prompt's id", "use letters, digits, _ and -, at most 63", param="id")
    try:
        return parse_prompt(id, text, lambda head: parse_yaml(head).data).version
    except PromptSyntaxError as error:
        raise BadRequest(error.message, error.hint, param="text") from error


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
