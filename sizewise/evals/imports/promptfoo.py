"""Importer of promptfoo configurations: an eval for each prompt, an item for each test; runs no code, asks no model.

What is carried and what is not: docs/how-to/import-evals.md. Files are read inside the configuration's folder alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from sizewise.errors import SizewiseError
from sizewise.evals.imports.imported_eval import (
    ImportedEval,
    ImportRefused,
    ImportReport,
    Json,
    JsonValue,
    mapping,
    scorers_for,
)
from sizewise.evals.imports.promptfoo_assertions import ItemAssertions, NotCarried
from sizewise.evals.imports.promptfoo_templates import UnknownTemplate, render_all
from sizewise.evals.imports.promptfoo_tests import TestCase, TestReader, line_of
from sizewise.evals.imports.source_files import DATA, ParsedFile, ParseYaml, SourceFiles

CARRIED = frozenset(
    {"prompts", "providers", "targets", "tests", "defaultTest", "description", "assertionTemplates", "scenarios"}
)
MAX_ITEMS = 20_000
PROMPT_BREAK = re.compile(r"^---[ \t]*$", re.MULTILINE)
_SLUG = re.compile(r"[^A-Za-z0-9]+")


@dataclass(frozen=True)
class Prompt:
    """`content`: text or messages, with templates."""

    name: str
    content: JsonValue
    file: str
    line: int


@dataclass(frozen=True)
class Provider:
    """`model`: as a target. `target`: further fields of it. `tools`: that it offers."""

    model: str
    target: Mapping[str, JsonValue]
    tools: Sequence[Mapping[str, JsonValue]] = ()


def import_promptfoo(file: Path, parse: ParseYaml, name: str, judge: str) -> ImportReport:
    """`judge`: the model of criteria. Raises ImportRefused if the file is no promptfoo configuration."""
    files = SourceFiles(file.parent, parse)
    source = files.parsed(file)
    if not isinstance(source.data, dict) or not {"prompts", "providers", "tests"} & source.data.keys():
        raise ImportRefused(f"{file.name!r} is no promptfoo configuration", "name a promptfooconfig.yaml")
    return _Importer(files, file, source, judge).read(name)


class _Importer:
    def __init__(self, files: SourceFiles, file: Path, source: ParsedFile, judge: str) -> None:
        self._files, self._file, self._source, self._judge = files, file, source, judge
        self._data: Json = source.data
        self._name = files.name(file)
        self.report = ImportReport()
        self._reader = TestReader(files, self.report)

    def read(self, name: str) -> ImportReport:
        for lost in self._data.keys() - CARRIED:
            self._note(f"`{lost}`", (lost,))
        if not isinstance(self._data.get("defaultTest", {}), dict):
            self._note("`defaultTest` that is no mapping", ("defaultTest",))
        providers = list(self._providers())
        prompts = list(self._prompts(self._data.get("prompts"), ("prompts",)))
        cases = list(self._cases())
        if not cases:
            self._note("there are no tests that can be carried", ("tests",) if "tests" in self._data else ())
        asserted = [self._assertions(case) for case in cases]
        labels = _unique([each.name or str(number) for number, each in enumerate(prompts, 1)])
        for number, prompt in enumerate(prompts, 1):
            items, threshold = self._items(prompt, cases, asserted, providers[0].tools if providers else ())
            if not items:
                continue
            first = providers[0] if providers else Provider("auto", {})
            self.report.evals.append(
                ImportedEval(
                    name=name if len(prompts) == 1 else f"{name}.{labels[number - 1]}",
                    spec={
                        "target": {"model": first.model, **first.target},
                        "scorers": scorers_for(items, self._judge, threshold),
                    },
                    items=items,
                    targets=[each.model for each in providers],
                )
            )
        return self.report

    def _note(self, message: str, where: tuple[str | int, ...]) -> None:
        self.report.note(self._name, line_of(self._source, where), message)

    # ---- what answers

    def _providers(self) -> Iterator[Provider]:
        name = "providers" if "providers" in self._data else "targets"
        found = self._data.get(name)
        for place, each in enumerate(found if isinstance(found, list) else [found] if found else []):
            where: tuple[str | int, ...] = (name, place) if isinstance(found, list) else (name,)
            try:
                yield from self._provider(each, where)
            except SizewiseError as error:
                self._note(error.message, where)

    def _provider(self, found: JsonValue, where: tuple[str | int, ...]) -> Iterator[Provider]:
        if isinstance(found, str) and found.startswith("file://"):
            for path in self._files.find(found, self._file):
                if path.suffix not in DATA:
                    self._note(f"the provider {found!r}: nothing is run", where)
                else:
                    yield from self._provider(self._files.parsed(path).data, where)
            return
        if isinstance(found, dict) and "id" not in found and len(found) == 1:
            found = {"id": next(iter(found)), **mapping(next(iter(found.values())))}
        given = {"id": found} if isinstance(found, str) else found
        model = _model(given.get("id")) if isinstance(given, dict) else None
        if model is None:
            self._note(f"the provider {str(found)[:80]!r} is no model", where)
            return
        config = mapping(given.get("config"))
        target, tools = dict[str, JsonValue](), list[Mapping[str, JsonValue]]()
        for key, value in config.items():
            if key in ("max_tokens", "maxOutputTokens", "max_completion_tokens") and isinstance(value, int):
                target["max_tokens"] = value
            elif key == "temperature" and isinstance(value, int | float):
                target["temperature"] = value
            elif key in ("tools", "functions"):
                tools += self._tools(value, key, where)
            else:
                self._note(f"`{key}` of the provider {model!r}", (*where, "config", key))
        for lost in given.keys() - {"id", "config", "label"}:
            self._note(f"`{lost}` of the provider {model!r}", (*where, lost))
        yield Provider(model, target, tools)

    def _tools(self, found: JsonValue, key: str, where: tuple[str | int, ...]) -> list[Mapping[str, JsonValue]]:
        if isinstance(found, str) and found.startswith("file://"):
            path = self._files.find(found, self._file)[0]
            found = self._files.parsed(path).data if path.suffix in DATA else None
        if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
            self._note(f"`{key}` that are no list in a data file", (*where, "config", key))
            return []
        return [each if key == "tools" else {"type": "function", "function": each} for each in found]

    # ---- what is asked

    def _prompts(self, found: JsonValue, where: tuple[str | int, ...]) -> Iterator[Prompt]:
        line = line_of(self._source, where)
        if isinstance(found, list):
            for place, each in enumerate(found):
                yield from self._prompts(each, (*where, place))
        elif isinstance(found, dict):
            raw = found.get("raw", found.get("id"))
            if isinstance(raw, str):
                label = _slug(str(found.get("label") or ""))
                for each in self._prompts(raw, where):
                    yield Prompt(label or each.name, each.content, each.file, each.line)
            else:
                self._note("a prompt without `raw`", where)
        elif isinstance(found, str) and (found.startswith("file://") or _is_path(found)):
            try:
                for path in self._files.find(found, self._file):
                    yield from self._prompt_file(path, line)
            except SizewiseError as error:
                self._note(error.message, where)
        elif isinstance(found, str):
            yield Prompt("", _messages(found), self._name, line)

    def _prompt_file(self, path: Path, line: int) -> Iterator[Prompt]:
        name = self._files.name(path)
        if path.suffix in DATA:
            yield Prompt(_slug(path.stem), self._files.parsed(path).data, name, 1)
            return
        if path.suffix not in (".txt", ".md", ".j2"):
            self.report.note(self._name, line, f"the prompt {path.name!r}: nothing is run")
            return
        texts = [each.strip() for each in PROMPT_BREAK.split(self._files.text(path)) if each.strip()]
        for number, text in enumerate(texts, 1):
            yield Prompt(_slug(path.stem) + (f"-{number}" if len(texts) > 1 else ""), _messages(text), name, 1)

    # ---- items

    def _cases(self) -> Iterator[TestCase]:
        yield from self._reader.tests(self._data.get("tests") or [], self._file, self._source, ("tests",))
        scenarios = self._data.get("scenarios")
        for place, each in enumerate(scenarios if isinstance(scenarios, list) else []):
            where: tuple[str | int, ...] = ("scenarios", place)
            if not isinstance(each, dict):
                self._note("a scenario that is no mapping", where)
                continue
            configs = list(self._reader.tests(each.get("config") or [{}], self._file, self._source, (*where, "config")))
            for case in self._reader.tests(each.get("tests") or [], self._file, self._source, (*where, "tests")):
                for config in configs:
                    values = {**config.values, **case.values}
                    yield replace(case, values=values, asserts=(*config.asserts, *case.asserts))

    def _assertions(self, case: TestCase) -> ItemAssertions:
        default = self._data.get("defaultTest")
        default = default if isinstance(default, dict) else {}
        found, common = (
            ItemAssertions(),
            self._reader.asserts(default.get("assert"), self._source, ("defaultTest", "assert"), self._name),
        )
        options = {**mapping(default.get("options")), **case.options}
        own = [(each, case.file, line) for each, line in case.asserts]
        for given, file, line in [*((each, self._name, line) for each, line in common), *own]:
            self.report.seen += 1
            try:
                if options.get("transform") or options.get("postprocess"):
                    raise NotCarried("an assertion on a transformed answer: code, which is not run")
                found.add(self._resolved(given), self._values(case))
                self.report.carried += 1
            except NotCarried as error:
                self.report.note(file, line, str(error))
        return found

    def _resolved(self, given: Mapping[str, JsonValue]) -> Mapping[str, JsonValue]:
        reference = given.get("$ref")
        if not isinstance(reference, str):
            return given
        templates = self._data.get("assertionTemplates")
        name = reference.rpartition("/")[2]
        found = templates.get(name) if isinstance(templates, dict) else None
        if not isinstance(found, dict) or "$ref" in found:
            raise NotCarried(f"the template {reference!r}, which is not there")
        return found

    def _values(self, case: TestCase) -> Json:
        default = self._data.get("defaultTest")
        common = default.get("vars") if isinstance(default, dict) else None
        line = line_of(self._source, ("defaultTest", "vars"))
        return {**next(self._reader.values(common, self._file, line), {}), **case.values}

    def _items(
        self,
        prompt: Prompt,
        cases: Sequence[TestCase],
        asserted: Sequence[ItemAssertions],
        tools: Sequence[Mapping[str, JsonValue]],
    ) -> tuple[list[Json], float | None]:
        items, thresholds = list[Json](), list[float]()
        for number, (case, its) in enumerate(zip(cases, asserted, strict=True), 1):
            if len(items) >= MAX_ITEMS:
                self.report.note(self._name, 0, f"more than {MAX_ITEMS:,} items of a prompt")
                break
            try:
                content = render_all(prompt.content, self._values(case))
            except UnknownTemplate as error:
                self.report.note(prompt.file, prompt.line, f"{error}: not asked for {case.file}:{case.line}")
                continue
            if not _is_input(content):
                self.report.note(prompt.file, prompt.line, "a prompt that is no text and no messages")
                break
            found: Json = {"id": f"test-{number}", "input": content}
            if its.checks:
                found["checks"] = its.checks
            if its.criteria:
                found["criteria"] = "\n".join(f"* {each}" for each in its.criteria)
            if its.similar:
                text, threshold = its.similar[0]
                thresholds.append(threshold)
                found["expected"] = text
                if len(its.similar) > 1 or threshold != thresholds[0]:
                    self.report.note(case.file, case.line, "a second `similar`, or one with another threshold")
            items.append(found | ({"tools": list(tools)} if tools else {}))
        return items, thresholds[0] if thresholds else None


def _is_input(content: JsonValue) -> bool:
    if isinstance(content, list):
        return bool(content) and all(isinstance(each, dict) and isinstance(each.get("role"), str) for each in content)
    return isinstance(content, str) and bool(content)


def _messages(text: str) -> JsonValue:
    """The messages of a prompt that is JSON, else the text."""
    if text.lstrip().startswith("["):
        try:
            found = msgspec.json.decode(text)
        except msgspec.DecodeError:
            return text
        if isinstance(found, list) and all(isinstance(each, dict) and "role" in each for each in found):
            return found
    return text


def _model(id: object) -> str | None:
    """`openai:chat:gpt-4o` is openai/gpt-4o."""
    if not isinstance(id, str):
        return None
    parts = id.split(":")
    if len(parts) < 2 or parts[0] in ("exec", "python", "http", "https", "webhook", "file", "package"):
        return None
    kinds = ("chat", "completion", "messages", "responses")
    rest = parts[2:] if parts[1] in kinds and len(parts) > 2 else parts[1:]
    return f"{parts[0]}/{':'.join(rest)}"


def _is_path(text: str) -> bool:
    return (
        "\n" not in text
        and "{{" not in text
        and text.endswith((".txt", ".json", ".yaml", ".yml", ".md", ".j2", ".js", ".py"))
    )


def _unique(names: Sequence[str]) -> list[str]:
    return [each if each not in names[:place] else f"{each}-{place + 1}" for place, each in enumerate(names)]


def _slug(text: str) -> str:
    return _SLUG.sub("-", text).strip("-").lower()[:40]
