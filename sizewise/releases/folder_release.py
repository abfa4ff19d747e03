"""Builds a release from a project's folder, or what it has published, and settings: parts and hash; stores nothing.

Never in a release: secrets, provider keys, and the settings of server, accounts, limits and database. A text that looks
like a secret is refused, by file and line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from sizewise.errors import BadRequest
from sizewise.evals.runs.eval_items import read_pinned
from sizewise.evals.runs.eval_spec import build_spec
from sizewise.flows.file_source import FlowFile, default_flows_folder, load_flow_files
from sizewise.flows.language.flow_spec import FlowSpec
from sizewise.flows.language.yaml_source import parse_yaml
from sizewise.flows.node_registry import NodeRegistry
from sizewise.flows.validator import parse_flow_text
from sizewise.guardrails.secrets import find_secrets
from sizewise.prompts.prompt_library import PromptFile, list_prompt_ids, read_prompt
from sizewise.releases.manifest import (
    MAX_PART_BYTES,
    MAX_PARTS,
    Part,
    PartKind,
    Release,
    ReleaseRequirements,
    build_manifest,
    json_part,
)
from sizewise.settings.load import Settings
from sizewise.settings.setting_texts import setting_texts
from sizewise.settings.toml_reader import parse_toml
from sizewise.settings.validators import is_reference

Tables = Mapping[str, Any]
PublishedText = tuple[str, str, str]
"""Name, version and YAML of a published flow."""
NAMED_TABLES: tuple[PartKind, ...] = ("policies", "agents", "models")
"""Settings whose tables are parts of their own; `guardrails` and `routing` are one each."""
ROUTING_TABLES = ("router", "sizes", "shadow")
FILE_OPTIONS = ("certificate", "prior")
"""Options of a policy that name a file: the release has its content."""
INDEX_OPTIONS = ("embedding_model", "chunk_tokens", "chunk_overlap", "vector_store")
"""What an index of a knowledge base is made by: another value is another generation."""


def build_release(settings: Settings) -> Release:
    """Raises BadRequest, which names each file with an error or a secret, and ConfigError."""
    root = project_folder(settings)
    registry = NodeRegistry()
    files = load_flow_files(root / "flows", registry).values()
    return _assemble(settings, list(_flow_parts(files)), (each.validation.spec for each in files), registry)


def build_published_release(settings: Settings, flows: Iterable[PublishedText], *, has_folder: bool) -> Release:
    """What a project answers with now: its published flows and the settings, with the prompts and evals of the folder
    if `has_folder`. Raises BadRequest, ConfigError.
    """
    found = list(flows)
    parts = [Part("flows", name, version, _normal_text(text)) for name, version, text in found]
    specs = (parse_flow_text(text).spec for _, _, text in found)
    return _assemble(settings, parts, specs, NodeRegistry(), has_folder=has_folder)


def project_folder(settings: Settings) -> Path:
    return default_flows_folder(settings.config_file, settings.home).parent


def _assemble(
    settings: Settings,
    flow_parts: Iterable[Part],
    specs: Iterable[FlowSpec | None],
    registry: NodeRegistry,
    *,
    has_folder: bool = True,
) -> Release:
    root = project_folder(settings)
    tables: Tables = {} if settings.config_file is None else parse_toml(settings.config_file)
    ids = list_prompt_ids(root / "prompts") if has_folder else []
    prompts = [read_prompt(root / "prompts", id, _data) for id in ids]
    parts = [
        *flow_parts,
        *_prompt_parts(prompts),
        *(_eval_parts(root / "evals") if has_folder else ()),
        *_setting_parts(tables, root),
    ]
    if len(parts) > MAX_PARTS:
        raise BadRequest(f"the release has more than {MAX_PARTS} parts", "split the project")
    for part in parts:
        _refuse_secrets(part)
    needed = _requirements(tables, specs, prompts, registry)
    return Release(build_manifest(parts, needed), tuple(parts))


def _data(text: str) -> object:
    return parse_yaml(text).data


def _flow_parts(files: Iterable[FlowFile]) -> Iterator[Part]:
    for file in files:
        flow = file.validation.flow
        if flow is None:
            line = file.errors[0].line if file.errors else 1
            raise BadRequest(f"{file.path}: line {line}: the flow has an error", "sizewise flow check shows it")
        yield Part("flows", file.name, flow.version, _normal_text(file.text))


def _prompt_parts(files: Iterable[PromptFile]) -> Iterator[Part]:
    for file in files:
        if file.prompt is None:
            assert file.error is not None
            raise BadRequest(f"{file.path}: {file.error.message}", file.error.hint)
        yield Part("prompts", file.id, file.prompt.version, _normal_text(file.path.read_text("utf-8")))


def _eval_parts(folder: Path) -> Iterator[Part]:
    found = sorted(folder.glob("*.y*ml")) if folder.is_dir() else []
    for path in found:
        data = parse_yaml(path.read_text("utf-8")).data
        try:
            items = read_pinned(folder, build_spec(data).data)
        except BadRequest as error:
            raise BadRequest(f"{path}: {error.message}", error.hint) from error
        yield json_part("evals", path.stem, {"eval": data, "data": items.digest})


def _setting_parts(tables: Tables, root: Path) -> Iterator[Part]:
    for kind in NAMED_TABLES:
        for name, table in _mapping(tables, kind).items():
            yield from _table_parts(kind, str(name), table, root)
    if guardrails := tables.get("guardrails"):
        yield json_part("guardrails", "guardrails", guardrails)
    for name in ROUTING_TABLES:
        if isinstance(table := tables.get(name), dict) and table:
            yield from _table_parts("routing", name, table, root)
    for name, table in _mapping(tables, "knowledge").items():
        yield json_part("knowledge", str(name), {key: table[key] for key in INDEX_OPTIONS if key in table})


def _table_parts(kind: PartKind, name: str, table: Tables, root: Path) -> Iterator[Part]:
    """The table, with the hashes of the files that it names, and these files."""
    named = {key: table[key] for key in (*FILE_OPTIONS, "predictor") if isinstance(table.get(key), str) and table[key]}
    files = {key: _file_part(f"{name}.{key}", root / Path(path).expanduser()) for key, path in named.items()}
    yield from files.values()
    yield json_part(kind, name, {**table, **{key: {"sha256": each.version} for key, each in files.items()}})


def _file_part(name: str, path: Path) -> Part:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BadRequest(f"{str(path)!r} cannot be read: {error.strerror}", "fix its path in the settings") from error
    if len(content) > MAX_PART_BYTES:
        raise BadRequest(f"{str(path)!r} is larger than {MAX_PART_BYTES} bytes", "use a smaller file")
    try:
        return json_part("certificates", name, msgspec.json.decode(content))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Part("certificates", name, sha256(content).hexdigest(), content)


def _normal_text(text: str) -> bytes:
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").encode()


def _mapping(tables: Tables, name: str) -> Tables:
    found = tables.get(name)
    return {key: each for key, each in found.items() if isinstance(each, dict)} if isinstance(found, dict) else {}


def _refuse_secrets(part: Part) -> None:
    text = part.content.decode("utf-8", "replace")
    for found in find_secrets(text):
        line = text.count("\n", 0, found.start) + 1
        raise BadRequest(
            f"{part.kind}/{part.name}, line {line}: this looks like a secret ({found.kind.lower()})",
            'keep secrets out of files: refer to them in the settings, as in key = "env:NAME"',
        )


def _requirements(
    tables: Tables, specs: Iterable[FlowSpec | None], prompts: Iterable[PromptFile], registry: NodeRegistry
) -> ReleaseRequirements:
    """From the names that parts use. Models named by a role or policy need nothing more."""
    used: dict[str, set[str]] = {"models": set(), "hosts": set(), "knowledge": set(), "tools": set()}
    for spec in specs:
        for node in spec.all_nodes() if spec is not None else ():
            kind = registry(node.kind)
            for name, parameter in kind.parameters.items() if kind is not None else ():
                if parameter.names in used:
                    used[parameter.names] |= set(_names(node.values.get(name)))
    used["models"] |= {each.prompt.model for each in prompts if each.prompt is not None and each.prompt.model}
    for table in (*_mapping(tables, "policies").values(), *_mapping(tables, "agents").values()):
        used["models"] |= {*_names(table.get("models")), *_names(table.get("model"))}
        used["tools"] |= set(_names(table.get("tools")))
    models = {each for each in used["models"] if "/" in each and not each.startswith(("auto:", "flow:"))}
    providers = {each.partition("/")[0] for each in models}
    mcp = {each.partition(".")[0] for each in used["tools"]} & set(_mapping(tables, "mcp"))
    needed = {"providers": providers, "mcp": mcp, "hosts": used["hosts"]}
    secrets = {
        reference
        for section, names in needed.items()
        for name, table in _mapping(tables, section).items()
        if name in names
        for reference in filter(is_reference, setting_texts(table))
    }
    return ReleaseRequirements(
        models=tuple(sorted(models)),
        providers=tuple(sorted(providers)),
        knowledge=tuple(sorted(used["knowledge"])),
        tools=tuple(sorted(used["tools"])),
        hosts=tuple(sorted(used["hosts"])),
        mcp=tuple(sorted(mcp)),
        secrets=tuple(sorted(secrets)),
    )


def _names(value: object) -> list[str]:
    listed = value if isinstance(value, list) else [value]
    return [each for each in listed if isinstance(each, str) and each and "{{" not in each]
