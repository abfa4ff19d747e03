"""Imports stand at the top and are absolute, libraries are declared, and importing Sizewise pulls in little."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping

import pytest

from tests.walls.source import ROOT, Source, planted, stands

LATE: Mapping[tuple[str, str], str] = {
    ("sizewise/errors.py", "difflib"): "10 ms, needed only when someone erred",
    ("sizewise/server.py", "uvloop"): "not on Windows",
    ("sizewise/guardrails/named_entities.py", "spacy"): "an extra: said in words where it is missing",
    ("sizewise/gateway/tls.py", "cryptography"): "40 ms, only who serves TLS needs it",
    ("sizewise/gateway/tls.py", "cryptography.x509"): "the same",
    ("sizewise/gateway/tls.py", "cryptography.x509.oid"): "the same",
    ("sizewise/gateway/tls.py", "cryptography.hazmat.primitives"): "the same",
    ("sizewise/gateway/tls.py", "cryptography.hazmat.primitives.asymmetric"): "the same",
    ("sizewise/gateway/tls.py", "cryptography.hazmat.primitives.serialization"): "the same",
    ("sizewise/storage/keys/cipher.py", "cryptography.exceptions"): "20 ms, needed only when something is sealed",
    ("sizewise/storage/keys/cipher.py", "cryptography.hazmat.primitives.ciphers.aead"): "the same",
    ("sizewise/auth/users/passwords.py", "cryptography.exceptions"): "20 ms, needed only when somebody signs in",
    ("sizewise/auth/users/passwords.py", "cryptography.hazmat.primitives.kdf.argon2"): "the same",
    ("sizewise/ed25519.py", "cryptography.exceptions"): "20 ms, only where a signature is made or checked",
    ("sizewise/ed25519.py", "cryptography.hazmat.primitives.asymmetric.ed25519"): "the same",
    ("sizewise/auth/users/qr_code.py", "segno"): "needed only when somebody enrolls a second factor",
    ("sizewise/auth/oidc_token.py", "joserfc"): "60 ms, needed only where an identity provider is used",
    ("sizewise/auth/oidc_token.py", "joserfc.errors"): "the same",
    ("sizewise/auth/oidc_token.py", "joserfc.jwk"): "the same",
    ("sizewise/cli/ask.py", "sizewise.cli.ask_answer"): "100 ms, after the line that shows what is asked",
    ("sizewise/cli/flow_run.py", "sizewise.cli.flow_run_output"): "200 ms, after the line that shows what runs",
    ("sizewise/cli/main.py", "sizewise.cli.output"): "10 ms, only for errors as JSON",
    ("sizewise/cli/options.py", "sizewise.cli.api_client"): "80 ms, after that line",
    ("sizewise/cli/options.py", "sizewise.cli.server_choice"): "the same",
    ("sizewise/cli/options.py", "sizewise.settings.load"): "the same",
    ("sizewise/cli/value_completion.py", "sizewise.cli.server_names"): "100 ms, only where a shell completes a name",
    (
        "sizewise/cli/calibrate.py",
        "sizewise.evals.calibration",
    ): "needs numpy, an extra: said in words where it is missing",
    ("sizewise/cli/router.py", "sizewise.routing.training.trainer"): "the same",
    ("sizewise/cli/route_prior.py", "sizewise.routing.training.answer_prior"): "the same",
    ("sizewise/decisions/decision_store.py", "numpy"): "the same",
    ("sizewise/decisions/decision_store.py", "sizewise.decisions.certification"): "the same",
    ("sizewise/tuning/tuner.py", "sizewise.tuning.head_baseline"): "the same",
    ("sizewise/evals/dataset_files.py", "pyarrow"): "an extra: only where somebody has .parquet",
    ("sizewise/cli/records_parquet.py", "pyarrow"): "the same",
    ("sizewise/flows/language/yaml_source.py", "yaml"): "an extra: said in words where it is missing",
    (
        "sizewise/flows/language/yaml_source.py",
        "ruamel.yaml",
    ): "100 ms, needed only when a flow is changed by a program",
    ("sizewise/flows/language/yaml_source.py", "ruamel.yaml.scalarstring"): "the same",
    ("sizewise/flows/engines/dbos.py", "dbos"): "500 ms and 40 MB, needed only where a flow runs; an extra",
    ("sizewise/flows/engines/dbos.py", "dbos._utils"): "the same",
    ("sizewise/flows/schedule.py", "croniter"): "20 ms, an extra: only where a flow has a timetable",
    (
        "sizewise/knowledge/vector_stores/weaviate.py",
        "sizewise.knowledge.vector_stores.weaviate_client",
    ): "an extra: said in words where it is missing",
    ("sizewise/routing/structured_output.py", "jsonschema_rs"): "20 ms, needed only when a schema is used",
    ("sizewise/evals/linear_regex.py", "jsonschema_rs"): "20 ms, needed only when a pattern is used",
    (
        "sizewise/providers/local/llamacpp_worker.py",
        "xllamacpp",
    ): "its threads read the environment when it loads, so that is set first",
    ("sizewise/tools/sandbox/worker.py", "_quickjs"): "an extra: said in words where it is missing",
    ("sizewise/tools/sandbox/worker.py", "pydantic_monty"): "the same",
    ("sizewise/tools/sandbox/worker.py", "pydantic_monty._binary"): "the same",
    ("sizewise/providers/local/llamacpp_worker.py", "ctypes"): "exists to ask one thing of Linux",
    ("sizewise/knowledge/pdf.py", "pypdf"): "an extra: said in words where it is missing",
    ("sizewise/knowledge/pdf.py", "pypdf.errors"): "the same",
    ("sizewise/providers/local/embedding_worker.py", "numpy"): "an extra: said in words where it is missing",
    ("sizewise/providers/local/embedding_worker.py", "onnxruntime"): "the same",
    ("sizewise/providers/local/embedding_worker.py", "onnxruntime.capi"): "the same",
}
"""(file, module) -> why it is imported in a function; a cycle is no reason: move the name to a lower layer."""

HEAVY = frozenset(
    {"uvicorn", "uvloop", "starlette", "sqlalchemy", "ariadne", "graphql", "xllamacpp", "rich", "prometheus_client"},
)
"""What `sizewise --help` must not wait for."""

LATER = frozenset(
    {
        "rich",
        "prometheus_client",
        "websockets",
        "ariadne",
        "graphql",
        "cryptography",
        "joserfc",
        "dbos",
        "yaml",
        "numpy",
    },
)
"""What a server that starts must not wait for: who asks for it first, or a thread after the start, loads it."""

LIGHT = frozenset({"sizewise", "click", "msgspec", "platformdirs"})
"""What the command line may import before it knows the command, besides the standard library."""


def late(file: Source) -> Iterator[str]:
    for function in file.nodes:
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for node in ast.walk(function):
                if isinstance(node, (ast.Import, ast.ImportFrom)):
                    named = [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
                    for module in named:
                        if (file.path, module) not in LATE:
                            yield file.at(node, f"{module} is imported inside {function.name}")


def absolute(file: Source) -> Iterator[str]:
    for node in file.nodes:
        if isinstance(node, ast.ImportFrom) and (node.level or any(alias.name == "*" for alias in node.names)):
            yield file.at(node, "import absolutely, name by name, from the file that defines it")


def package_contents(file: Source) -> Iterator[str]:
    """`__init__.py` holds the package's docstring; that of sizewise also its version."""
    if file.path.endswith("/__init__.py"):
        for statement in file.tree.body[1:]:
            version = isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "__version__"
            if not (version and file.path == "sizewise/__init__.py"):
                yield file.at(statement, "an __init__.py holds a docstring and nothing else")
        if not ast.get_docstring(file.tree):
            yield f"{file.path}:1: the package's docstring is missing"


def folders_without_init(folder: str) -> list[str]:
    """Folders with Python files and no `__init__.py`: import-linter and the wheel would not see them."""
    folders = {path.parent for path in (ROOT / folder).rglob("*.py")}
    return sorted(each.relative_to(ROOT).as_posix() for each in folders if not (each / "__init__.py").exists())


def pulled_in_by(module: str) -> set[str]:
    """Top-level names of the modules that `import module` brings into a fresh interpreter."""
    code = f"import sys; before = set(sys.modules); import {module}; print(*(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in done.stdout.split()}


def undeclared(file: Source) -> Iterator[str]:
    """A library that is imported but only came along with another one disappears one day with it."""
    for node in file.nodes:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            named = [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
            for library in {name.partition(".")[0] for name in named} - DECLARED - sys.stdlib_module_names:
                yield file.at(node, f"{library} is no declared dependency: see pyproject.toml")


def declared() -> frozenset[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(each for extra in project["optional-dependencies"].values() for each in extra),
    ]
    libraries = {re.split(r"[^\w-]", each)[0].replace("-", "_") for each in wanted}
    # graphql-core, PyYAML, qdrant-edge-py and quickjs-ng under the names they import by
    return frozenset(libraries | {"sizewise", "graphql", "yaml", "qdrant_edge", "weaviate", "grpc", "_quickjs"})


DECLARED = declared()


def test_imports_stand_at_the_top() -> None:
    stands(late, "sizewise", "docs")


def test_imports_are_absolute() -> None:
    stands(absolute, "sizewise", "docs", "tests", "bench")


def test_packages_hold_a_docstring_and_nothing_else() -> None:
    stands(package_contents, "sizewise", "docs", "bench")
    assert folders_without_init("sizewise") == []


def test_only_declared_libraries_are_imported() -> None:
    stands(undeclared, "sizewise")


def test_importing_sizewise_imports_nothing_else() -> None:
    assert pulled_in_by("sizewise") == {"sizewise"}


def test_the_command_line_starts_without_a_heavy_library() -> None:
    pulled = pulled_in_by("sizewise.cli.main")
    assert pulled & HEAVY == set()
    assert pulled - LIGHT - sys.stdlib_module_names == set()


def test_a_server_starts_without_what_it_needs_later() -> None:
    assert (pulled_in_by("sizewise.cli.up") | pulled_in_by("sizewise.server")) & LATER == set()


def test_policies_need_no_heavy_library() -> None:
    assert pulled_in_by("sizewise.routing.policies.cascade") & HEAVY == set()


def test_flow_files_are_checked_without_what_only_a_server_needs() -> None:
    """So `flow list`, `flow check` and a check before each commit are quick."""
    nodes = [f"sizewise.flows.nodes.{file.stem}" for file in (ROOT / "sizewise/flows/nodes").glob("[a-z]*.py")]
    assert len(nodes) > 10
    assert pulled_in_by(", ".join(("sizewise.cli.flow_list", "sizewise.cli.flow_check", *nodes))) & HEAVY == set()


@pytest.mark.parametrize(
    "line",
    ["import json", "from sizewise.app.application import Application", "if x:\n        import json"],
)
def test_the_wall_sees_a_late_import(line: str) -> None:
    assert planted(late, f"def f() -> None:\n    {line}")


@pytest.mark.parametrize(
    "line",
    ["import requests", "from toml import loads", "def f() -> None:\n    import scipy.linalg"],
)
def test_the_wall_sees_an_undeclared_library(line: str) -> None:
    assert planted(undeclared, line)


@pytest.mark.parametrize("line", ["from . import chat", "from .chat import Chat", "from sizewise.messages import *"])
def test_the_wall_sees_a_relative_or_starred_import(line: str) -> None:
    assert planted(absolute, line)


@pytest.mark.parametrize("code", ['"""A package."""\nfrom sizewise.money import Price', '"""A package."""\nX = 1', ""])
def test_the_wall_sees_a_package_that_holds_something(code: str) -> None:
    assert planted(package_contents, code, "sizewise/planted/__init__.py")


def test_the_wall_sees_what_an_import_pulls_in() -> None:
    assert "sqlalchemy" in pulled_in_by("sizewise.storage.database")
