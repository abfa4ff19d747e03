"""Turns a configuration of the LiteLLM proxy into settings of ours, with a report on every line. Writes nothing."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sizewise.errors import BadRequest, SizewiseError
from sizewise.evals.imports.source_files import ParsedFile, ParseYaml
from sizewise.migration.litellm_budgets import EVERY_MODEL, report_unpriced
from sizewise.migration.litellm_connections import ConnectionReader
from sizewise.migration.litellm_deployments import AUTO_ROUTER, DeploymentReader
from sizewise.migration.litellm_keys import read_rules
from sizewise.migration.litellm_models import ModelTables, RoutingWishes
from sizewise.migration.litellm_sections import STRATEGIES, read_retries, read_sections
from sizewise.migration.litellm_values import slug
from sizewise.migration.migration_report import ConfigNode, MigrationReport, ReportLine
from sizewise.migration.settings_draft import SettingsDraft
from sizewise.migration.yaml_merges import merged
from sizewise.settings.provider_presets import provider_presets

MAX_BYTES = 1_048_576
MAX_INCLUDES = 100


@dataclass(frozen=True, slots=True)
class ImportedSettings:
    """`text`: a settings file. `variables`: of the environment that it refers to."""

    text: str
    lines: Sequence[ReportLine]
    models: int
    variables: Sequence[str]


def import_litellm(path: Path, parse: ParseYaml, environ: Mapping[str, str]) -> ImportedSettings:
    """`environ`: for addresses and regions that the file names by variable. Raises SizewiseError."""
    presets = provider_presets()
    report, draft = MigrationReport(read_rules()), SettingsDraft()
    roots = _read_files(path, parse, report)
    draft.table("server")["embedded"] = False
    draft.comment("no models but those below; `true` adds the embedded ones", "server")
    draft.table("router")
    tables = ModelTables(draft, report, presets)
    entries = [entry for root in roots for entry in _items(root, "model_list")]
    connections = ConnectionReader(report, presets, environ)
    credentials = _credentials(roots)
    reader = DeploymentReader(report, credentials, connections, environ)
    read = [(entry, reader.read(entry)) for entry in entries if not _is_auto_router(entry)]
    _report_credentials(roots, reader.used_credentials, report)
    tables.add([deployment for _, deployment in read if deployment is not None])
    wishes = _wishes(roots, tables, {entry.text("model_name") for entry in entries}, report)
    tables.route(wishes)
    for entry in filter(_is_auto_router, entries):
        _add_auto_router(entry, tables, draft, report)
    for root in roots:
        read_sections(root, draft, report)
    report_unpriced(draft, [*_budgets(roots), *tables.budgets], report)
    lines = report.lines()
    text = f"# From {path.name}, by `sizewise import litellm`.\n\n{draft.text()}"
    named = re.findall(r'^endpoint = "(.+)"$(?!(?:\n.+)*\nkey = )', text, re.MULTILINE)
    keys = [*re.findall(r'"(env:[^"]+)"', text), *(presets[name].key for name in named)]
    variables = sorted({key.removeprefix("env:") for key in keys if key})
    return ImportedSettings(text, lines, sum(each is not None for _, each in read), variables)


def _read_files(path: Path, parse: ParseYaml, report: MigrationReport) -> list[ConfigNode]:
    """The file and those that it includes, which lie in its folder. Raises BadRequest and what `parse` does."""
    folder = path.resolve().parent
    roots, waiting, seen = list[ConfigNode](), [path.resolve()], set[Path]()
    while waiting:
        file = waiting.pop(0)
        if file in seen:
            continue
        seen.add(file)
        if len(seen) > MAX_INCLUDES:
            raise BadRequest(f"{path.name!r} includes more than {MAX_INCLUDES} files", "import fewer")
        name = file.relative_to(folder).as_posix()
        root = report.add_file(name, _parsed(name, _text(file), parse))
        if not isinstance(root.value, dict):
            raise BadRequest(f"{file.name!r} is no configuration of LiteLLM", "it has `model_list` and the like")
        roots.append(root)
        for each in _items(root, "include"):
            found = (file.parent / str(each.value)).resolve()
            if not found.is_relative_to(folder):
                raise BadRequest(f"{str(each.value)[:200]!r} leads out of the folder", "copy it into the folder")
            report.carried(each, "read, and imported with this file")
            waiting.append(found)
    if not any(
        section in root.value for root in roots for section in ("model_list", "litellm_settings", "router_settings")
    ):
        raise BadRequest(f"{path.name!r} is no configuration of LiteLLM", "it has `model_list` and the like")
    return roots


def _parsed(name: str, text: str, parse: ParseYaml) -> ParsedFile:
    try:
        return merged(parse(text))
    except SizewiseError as error:
        raise BadRequest(f"{name!r}, {error.message}", error.hint) from error


def _text(file: Path) -> str:
    try:
        if file.stat().st_size > MAX_BYTES:
            raise BadRequest(f"{file.name!r} is larger than {MAX_BYTES:,} bytes", "split it, and use `include`")
        return file.read_text("utf-8").removeprefix("\ufeff")
    except OSError as error:
        hint = "check its path and permissions; the files of an `include` lie beside the one that names them"
        raise BadRequest(f"{file.name!r} cannot be read: {error.strerror}", hint) from error
    except UnicodeDecodeError as error:
        raise BadRequest(f"{file.name!r} is not UTF-8", "save it as UTF-8 text") from error


def _budgets(roots: Sequence[ConfigNode]) -> Iterator[tuple[str, ConfigNode]]:
    for root in roots:
        settings = root.get("litellm_settings")
        if settings is not None and (budget := settings.get("max_budget")):
            yield EVERY_MODEL, budget


def _items(root: ConfigNode, section: str) -> list[ConfigNode]:
    found = root.get(section)
    return list(found.items()) if found else []


def _credentials(roots: Sequence[ConfigNode]) -> Mapping[str, ConfigNode]:
    """The values of each by its name."""
    found = dict[str, ConfigNode]()
    for each in (one for root in roots for one in _items(root, "credential_list")):
        values = each.get("credential_values")
        if each.text("credential_name") and values is not None and isinstance(values.value, dict):
            found[each.text("credential_name")] = values
    return found


def _report_credentials(roots: Sequence[ConfigNode], used: Container[str], report: MigrationReport) -> None:
    for each in (one for root in roots for one in _items(root, "credential_list")):
        if each.text("credential_name") in used:
            report.carried(each, "keys and addresses of the providers that name it")
        else:
            report.refused(each, "no model that was carried has this credential")


def _is_auto_router(entry: ConfigNode) -> bool:
    params = entry.get("litellm_params")
    return params is not None and params.text("model").startswith(f"{AUTO_ROUTER}/")


def _wishes(
    roots: Sequence[ConfigNode], tables: ModelTables, names: set[str], report: MigrationReport
) -> RoutingWishes:
    kind, fallbacks, aliases, defaults = (
        "fixed",
        dict[str, list[str]](),
        dict[str, tuple[str, ConfigNode]](),
        list[str](),
    )
    sections = [root.get(name) for root in roots for name in ("litellm_settings", "router_settings")]
    for section in filter(None, sections):
        if node := section.get("routing_strategy"):
            if str(node.value) in STRATEGIES:
                kind, message = STRATEGIES[str(node.value)]
                (report.carried if node.value in ("simple-shuffle", "cost-based-routing") else report.changed)(
                    node, message
                )
            else:
                report.refused(node, "there is no such strategy here")
        for key in ("fallbacks", "context_window_fallbacks"):
            node = section.get(key)
            for each in (node, *node.items()) if node else ():
                for group, others in each.fields():
                    _add_fallbacks(group, others, fallbacks, tables, names, report)
        if node := section.get("default_fallbacks"):
            for each in node.items():
                if tables.targets(str(each.value)):
                    defaults.append(str(each.value))
                    report.carried(each, "the last models of each policy")
                else:
                    report.refused(each, _missing(str(each.value), names))
        if node := section.get("model_group_alias"):
            for alias, target in node.fields():
                named = target.get("model") or target
                if isinstance(named.value, str):
                    aliases[alias] = (named.value, target)
                else:
                    report.refused(target, "an alias means one model: further ones are its `fallbacks`")
    return RoutingWishes(
        kind=kind,
        retries=read_retries(*sections, report=report),
        fallbacks=fallbacks,
        aliases=aliases,
        default_fallbacks=defaults,
    )


def _add_fallbacks(
    group: str,
    others: ConfigNode,
    fallbacks: dict[str, list[str]],
    tables: ModelTables,
    names: set[str],
    report: MigrationReport,
) -> None:
    if not tables.targets(group):
        report.refused(others, _missing(group, names))
        return
    for each in others.items():
        name = str(each.value)
        if tables.targets(name):
            known = fallbacks.setdefault(group, [])
            known += [name] if name not in known else []
            report.carried(each, f"[policies.{slug(group)}] models, in this order")
        else:
            report.refused(each, _missing(name, names))


def _missing(name: str, names: set[str]) -> str:
    return "it was not carried" if name in names else "`model_list` has no such model"


def _add_auto_router(entry: ConfigNode, tables: ModelTables, draft: SettingsDraft, report: MigrationReport) -> None:
    """A router over other groups becomes a cascade over their models."""
    name, params = entry.text("model_name"), entry.get("litellm_params")
    config = params.get("adaptive_router_config") if params else None
    available = config.get("available_models") if config else None
    models = [model for each in (available.items() if available else ()) for model in tables.targets(str(each.value))]
    if not name or len(models) < 2:
        report.refused(entry, "its choice is a policy here: [policies.NAME] kind = 'cascade', with its models")
        return
    draft.table("policies", slug(name)).update({"kind": "cascade", "models": models})
    draft.table("router", "alias")[name] = f"auto:{slug(name)}"
    report.changed(
        entry, f"[policies.{slug(name)}]: the smaller model first, and the better one where that is not trusted"
    )
