"""Loads sizewise.toml and the environment into one frozen Settings; the only reader of the environment.

Defines no setting: the tables and their defaults are in the other files of settings/.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlsplit

from platformdirs import user_cache_path, user_data_path

from sizewise.errors import ConfigError, did_you_mean
from sizewise.http.proxies import ProxyConfig
from sizewise.settings.alerts import alert_contradictions
from sizewise.settings.annotation import annotation_contradictions
from sizewise.settings.environments import environment_contradictions
from sizewise.settings.knowledge import KnowledgeSettings
from sizewise.settings.models import ProviderSettings
from sizewise.settings.otel_variables import with_otel_variables
from sizewise.settings.provider_presets import apply_presets
from sizewise.settings.renamed import move
from sizewise.settings.root import FileSettings
from sizewise.settings.routing import PolicySettings
from sizewise.settings.secret_commands import PREFIX, SecretCommand, command_answer
from sizewise.settings.server import TlsSettings
from sizewise.settings.toml_reader import parse_toml, raise_if_invalid, read_table
from sizewise.settings.tools import McpServerSettings
from sizewise.settings.validators import is_reference

ENVIRONMENT_VARIABLES = (
    ("SIZEWISE_CONFIG", "Path of the settings file, if `--config` is not given."),
    ("SIZEWISE_HOME", "Folder of durable data, if `--home` is not given."),
    ("SIZEWISE_CACHE", "Folder of data that can be downloaded again, such as model weights."),
    (
        "SIZEWISE_KEY",
        "The first API key, instead of one generated and printed at the first start. At least 24 characters.",
    ),
    (
        "SIZEWISE_URL",
        "URL of the server that commands call, without /v1, instead of the one that runs here; the API key is"
        " SIZEWISE_KEY.",
    ),
    ("HTTPS_PROXY", "Proxy for https URLs, also in lower case; `network.proxy` takes precedence."),
    ("HTTP_PROXY", "Proxy for http URLs, also in lower case; `network.proxy` takes precedence."),
    ("NO_PROXY", "Hosts reached without a proxy, separated by commas; also in lower case."),
    ("SSL_CERT_FILE", "CA file; `network.ca` takes precedence."),
    ("REQUESTS_CA_BUNDLE", "CA file, if SSL_CERT_FILE is not set."),
    ("PIP_CERT", "CA file, if neither of the two is set."),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "Collector of traces; `otlp.endpoint` takes precedence."),
    ("OTEL_EXPORTER_OTLP_HEADERS", "Headers for it; `otlp.headers` takes precedence."),
    ("OTEL_SERVICE_NAME", "`service.name` of spans; `otlp.service_name` takes precedence."),
    (
        "OTEL_RESOURCE_ATTRIBUTES",
        "Attributes of spans, `name=value` between commas; `otlp.resource` takes precedence.",
    ),
    ("OPENBLAS_NUM_THREADS", "Threads of each computation with numpy; 1 if it is not set."),
    ("NO_COLOR", "Any value: print without colors."),
)
"""Every environment variable that is read, in addition to those named by `env:` references."""

SECRET_BYTES = 65_536  # a larger key file is not a key file
SECRET_HEADERS = frozenset({"authorization", "proxy-authorization", "x-api-key", "api-key", "cookie"})


@dataclass(frozen=True, slots=True)
class Settings(FileSettings):
    """The tables of the file, plus the command line and the environment."""

    home: Path = Path()  # folder of durable data
    cache_dir: Path = Path()  # folder of data that can be downloaded again
    config_file: Path | None = None  # None: no settings file
    api_key: str = field(default="", repr=False)  # SIZEWISE_KEY
    server_url: str = ""  # SIZEWISE_URL, of the server's root; empty: the server of this home
    ca_file: Path | None = None  # CA certificates; None: the system's
    trained_router: Path | None = None  # the predictor file of the learned policy
    proxies: ProxyConfig = field(default=ProxyConfig())
    color: bool = True


def load_settings(
    config: Path | None = None,
    home: Path | None = None,
    environ: Mapping[str, str] | None = None,
    content: bytes | None = None,
) -> Settings:
    """The settings for `--config` and `--home`. `environ` defaults to the environment of the process. `content`: of
    the file `config`, if it was read before.

    The file is the first of `config`, SIZEWISE_CONFIG, ./sizewise.toml and <home>/sizewise.toml; without a file the
    defaults apply. ConfigError lists every error of the file at once.
    """
    env = os.environ if environ is None else environ
    where = home_folder(home, env)
    path = _find(config, where, env)
    file = _read(path, content) if path else FileSettings()
    return Settings(
        **{each.name: getattr(file, each.name) for each in fields(FileSettings) if each.name != "otlp"},
        otlp=with_otel_variables(file.otlp, env),
        home=where,
        cache_dir=_absolute(env.get("SIZEWISE_CACHE") or user_cache_path("sizewise", appauthor=False)),
        config_file=path,
        api_key=_checked_api_key(env.get("SIZEWISE_KEY", "")),
        server_url=server_root(env.get("SIZEWISE_URL", "")),
        ca_file=_authorities(file.network.ca, path, env),
        trained_router=path.parent / Path(file.router.predictor).expanduser()
        if path and file.router.predictor
        else None,
        proxies=ProxyConfig(
            http=_proxy("HTTP_PROXY", file.network.proxy, env),
            https=_proxy("HTTPS_PROXY", file.network.proxy, env),
            no_proxy=file.network.no_proxy or _listed(_proxy_variable("NO_PROXY", env)),
        ),
        color=not env.get("NO_COLOR"),
    )


RELEASE_TABLES = ("policies", "agents", "models", "guardrails", "router", "sizes", "shadow")
"""The tables that a release has; all others are the server's own."""


def with_release_tables(settings: Settings, tables: Mapping[str, object], folder: Path) -> Settings:
    """`settings` with RELEASE_TABLES as in `tables`. `folder`: where the paths in them begin. Raises ConfigError."""
    wrong: list[str] = []
    said = dict(tables)
    move(said, wrong)
    file = read_table(FileSettings, said, "", wrong) or FileSettings()
    policies = {name: _resolve_policy(each, folder) for name, each in file.policies.items()}
    router = file.router
    mixed = replace(
        settings,
        **{name: getattr(file, name) for name in RELEASE_TABLES},
        trained_router=folder / Path(router.predictor).expanduser() if router.predictor else None,
    )
    mixed = replace(mixed, policies=MappingProxyType({**FileSettings().policies, **policies}))
    wrong.extend(_contradictions(mixed, wrong))
    if wrong:
        raise ConfigError(
            f"the release does not fit the settings here: {'; '.join(wrong)}", "fix it, and build it again"
        )
    return mixed


def read_settings_file(settings: Settings) -> bytes | None:
    """What the settings file contains now; None if there is none, or it cannot be read, which loading it reports."""
    try:
        return None if settings.config_file is None else settings.config_file.read_bytes()
    except OSError:
        return None


def home_folder(home: Path | None = None, environ: Mapping[str, str] | None = None) -> Path:
    """The home for `--home`, without reading any settings."""
    env = os.environ if environ is None else environ
    return _absolute(home or env.get("SIZEWISE_HOME") or user_data_path("sizewise", appauthor=False))


def named_home(environ: Mapping[str, str] | None = None) -> str:
    """SIZEWISE_HOME; empty: the home is the user's default one."""
    return (os.environ if environ is None else environ).get("SIZEWISE_HOME", "")


def named_server(environ: Mapping[str, str] | None = None) -> str:
    """SIZEWISE_URL, as `Settings.server_url`, without reading any settings."""
    return server_root((os.environ if environ is None else environ).get("SIZEWISE_URL", ""))


def server_root(url: str) -> str:
    """The URL of a server without a slash at its end, and without the /v1 that SDKs want as their base URL."""
    root = url.strip().rstrip("/")
    above, _, last = root.rpartition("/")
    return above if last == "v1" and not above.endswith("/") else root


def inherited_environment(keep: Callable[[str], bool]) -> dict[str, str]:
    """The variables of this process that a child gets. `keep`: by name."""
    return {name: value for name, value in os.environ.items() if keep(name)}


def compute_in_one_thread() -> None:
    """Call before numpy is imported: its threads spin while they wait for each other, and on busy cores one
    certification of a decision took minutes instead of a second. A variable that is set stays.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def resolve_secret(reference: str, environ: Mapping[str, str] | None = None) -> str:
    """The value of an `env:`, `file:` or `exec:` reference without surrounding white space; '' for ''. ConfigError if
    it is missing.

    Variables and files are read on each use and never cached, so that a key can be rotated without a reload; of a
    command it is what it said last.
    """
    kind, _, rest = reference.partition(":")
    if kind == "env":
        found = (os.environ if environ is None else environ).get(rest, "").strip()
        if not found:
            raise ConfigError(f"the environment variable {rest!r} is not set", f"Set it: export {rest}=...")
    elif kind == "file":
        found = _first_line(Path(rest).expanduser())
    elif kind == "exec":
        found = command_answer(reference)
    elif reference:
        raise ConfigError(
            "a key is written in the settings instead of a reference",
            'Write it as "env:NAME", "file:PATH" or "exec:COMMAND".',
        )
    else:
        return ""
    if not found.isprintable() or not found.isascii():
        raise ConfigError(f"{reference!r} is not one printable line of ASCII", "Store only the key in it.")
    return found


def _first_line(path: Path) -> str:
    try:
        with path.open("rb") as file:
            found = file.read(SECRET_BYTES + 1)
    except OSError as why:
        raise ConfigError(f"the key file {str(path)!r} cannot be read: {why.strerror}", "Check its path.") from why
    if not found.strip() or len(found) > SECRET_BYTES:
        raise ConfigError(f"the key file {str(path)!r} holds no key", "Store only the key in it.")
    return found.decode("utf-8", "replace").strip()


def _absolute(path: Path | str) -> Path:
    return Path(path).expanduser().absolute()


def _find(config: Path | None, home: Path, env: Mapping[str, str]) -> Path | None:
    if config or env.get("SIZEWISE_CONFIG"):
        return _absolute(config or env["SIZEWISE_CONFIG"])  # explicitly named: reading reports it if it is missing
    known = (Path("sizewise.toml").absolute(), home / "sizewise.toml")
    return next((each for each in known if each.is_file()), None)


def _read(path: Path, content: bytes | None) -> FileSettings:
    wrong: list[str] = []
    tables = parse_toml(path, content)
    move(tables, wrong)
    if "providers" in tables:
        tables["providers"] = apply_presets(tables["providers"], wrong)
    file = read_table(FileSettings, tables, "", wrong) or FileSettings()
    known = {_key_of(each) for each in wrong}  # such a setting has its default here, so what is said of it misleads
    wrong.extend([each for each in _contradictions(file, wrong) if _key_of(each) not in known])
    raise_if_invalid(wrong, path)
    providers = {name: _resolve_provider(each, path.parent) for name, each in file.providers.items()}
    policies = {name: _resolve_policy(each, path.parent) for name, each in file.policies.items()}
    policies = {**FileSettings().policies, **policies}  # `default` is always there
    encryption = replace(file.encryption, key=_resolve_reference(path.parent, file.encryption.key))
    oidc = {
        name: replace(each, client_secret=_resolve_reference(path.parent, each.client_secret))
        for name, each in file.oidc.items()
    }
    database = replace(file.database, url=_resolve_reference(path.parent, file.database.url))
    knowledge = {name: _resolve_knowledge(each, path.parent) for name, each in file.knowledge.items()}
    hooks = {
        name: replace(each, secret=_resolve_reference(path.parent, each.secret)) for name, each in file.webhooks.items()
    }
    receivers = {
        name: replace(
            each,
            url=_resolve_reference(path.parent, each.url),
            secret=_resolve_reference(path.parent, each.secret),
        )
        for name, each in file.receivers.items()
    }
    hosts = {name: replace(each, key=_resolve_reference(path.parent, each.key)) for name, each in file.hosts.items()}
    signers = {
        name: replace(each, secret=_resolve_reference(path.parent, each.secret))
        for name, each in file.graphql.signers.items()
    }
    mcp = {name: _resolve_mcp_server(each, path.parent) for name, each in file.mcp.items()}
    triggers = {
        name: replace(each, secret=_resolve_reference(path.parent, each.secret)) for name, each in file.triggers.items()
    }
    git, edge, search = file.git, file.edge, file.web_search
    return replace(
        file,
        policies=MappingProxyType(policies),
        providers=MappingProxyType(providers),
        server=replace(file.server, tls=_resolve_tls(path.parent, file.server.tls)),
        encryption=encryption,
        database=database,
        otlp=replace(file.otlp, headers=_resolve_reference(path.parent, file.otlp.headers)),
        webhooks=MappingProxyType(hooks),
        receivers=MappingProxyType(receivers),
        mcp=MappingProxyType(mcp),
        graphql=replace(file.graphql, signers=MappingProxyType(signers)),
        hosts=MappingProxyType(hosts),
        oidc=MappingProxyType(oidc),
        knowledge=MappingProxyType(knowledge),
        triggers=MappingProxyType(triggers),
        git=replace(
            git,
            token=_resolve_reference(path.parent, git.token),
            webhook_secret=_resolve_reference(path.parent, git.webhook_secret),
        ),
        edge=replace(
            edge,
            token=_resolve_reference(path.parent, edge.token),
            key=_resolve_reference(path.parent, edge.key),
        ),
        web_search=replace(search, key=_resolve_reference(path.parent, search.key)),
    )


def _resolve_tls(folder: Path, tls: TlsSettings) -> TlsSettings:
    """Resolves its paths relative to the folder of the settings file."""
    cert, key, ca = (
        str(folder / Path(said).expanduser()) if said else "" for said in (tls.cert, tls.key, tls.client_ca)
    )
    return replace(tls, cert=cert, key=key, client_ca=ca)


def _resolve_knowledge(knowledge: KnowledgeSettings, folder: Path) -> KnowledgeSettings:
    """Resolves `sources` and the key file relative to the folder of the settings file."""
    sources = tuple(each if "://" in each else str(folder / Path(each).expanduser()) for each in knowledge.sources)
    return replace(
        knowledge,
        sources=sources,
        remote=replace(knowledge.remote, key=_resolve_reference(folder, knowledge.remote.key)),
    )


def _key_of(error: str) -> str:
    return error.partition(":")[0]


def _contradictions(file: FileSettings, known_errors: list[str]) -> list[str]:
    """Errors that only several settings together show; `known_errors` are those found before."""
    wrong = []
    policy, policies = file.router.policy, ["default", *file.policies]
    if policy not in policies:
        wrong.append(f"router.policy: there is no policy {policy!r}. {did_you_mean(policy, policies)}".rstrip())
    if file.sizes.slm >= file.sizes.llm:
        wrong.append(f"sizes.llm: must be greater than `slm`; llm is {file.sizes.llm:,}, slm is {file.sizes.slm:,}")
    tls = file.server.tls
    if bool(tls.cert) is not bool(tls.key):
        wrong.append(
            f"server.tls.{'key' if tls.cert else 'cert'}: is missing; a certificate needs its key, and a key its "
            "certificate"
        )
    if tls.client_ca and not tls.cert:
        wrong.append("server.tls.client_ca: needs `cert` and `key`")
    for name, hook in file.webhooks.items():
        for key, says in (("url", "the URL to send events to"), ("secret", "the signing secret")):
            place = f"webhooks.{name}.{key}:"
            if not getattr(hook, key):
                wrong.append(f"{place} is missing: {says}")
    wrong.extend(alert_contradictions(file.alerts, file.slo, file.receivers))
    wrong.extend(environment_contradictions(file.environments))
    wrong.extend(annotation_contradictions(file.annotation, file.records.contents))
    for name, oidc in file.oidc.items():
        for key, says in (("issuer", "the issuer URL of the provider"), ("client_id", "the client ID of this server")):
            place = f"oidc.{name}.{key}:"
            if not getattr(oidc, key):
                wrong.append(f"{place} is missing: {says}")
        if "openid" not in oidc.scopes:
            wrong.append(f"oidc.{name}.scopes: must include 'openid'")
    for name, host in file.hosts.items():
        if not host.url:
            wrong.append(f"hosts.{name}.url: is missing")
    for name, server in file.mcp.items():
        if bool(server.url) is bool(server.command) and not any(
            each.startswith(f"mcp.{name}.") for each in known_errors
        ):
            wrong.append(f"mcp.{name}: set either `url` or `command`")
        wrong.extend(
            f'mcp.{name}.headers.{header!r}: give the value by reference, as "env:NAME"'
            for header, value in server.headers.items()
            if header.lower() in SECRET_HEADERS and not is_reference(value)
        )
    for name, provider in file.providers.items():
        place = f"providers.{name}.base_url:"
        if not provider.base_url and not provider.endpoint and provider.wire != "echo":
            wrong.append(f"{place} is missing: the base URL of the provider, as 'https://host/v1'")
        wrong.extend(
            f'providers.{name}.headers.{header!r}: give the value by reference, as "env:NAME"'
            for header, value in provider.headers.items()
            if header.lower() in SECRET_HEADERS and not is_reference(value)
        )
    return wrong


def _resolve_provider(provider: ProviderSettings, folder: Path) -> ProviderSettings:
    """Resolves file references relative to the folder of the settings file."""
    headers = {name: _resolve_reference(folder, value) for name, value in provider.headers.items()}
    replicas = tuple(replace(each, key=_resolve_reference(folder, each.key)) for each in provider.replicas)
    key = _resolve_reference(folder, provider.key)
    return replace(provider, key=key, headers=MappingProxyType(headers), replicas=replicas)


def _resolve_mcp_server(server: McpServerSettings, folder: Path) -> McpServerSettings:
    """Resolves file references relative to the folder of the settings file."""
    headers = {name: _resolve_reference(folder, value) for name, value in server.headers.items()}
    env = {name: _resolve_reference(folder, value) for name, value in server.env.items()}
    key = _resolve_reference(folder, server.key)
    return replace(server, key=key, headers=MappingProxyType(headers), env=MappingProxyType(env))


def _resolve_policy(policy: PolicySettings, folder: Path) -> PolicySettings:
    """Resolves the paths of its certificate and prior relative to the folder of the settings file."""
    known = {name: policy.options[name] for name in ("certificate", "prior") if name in policy.options}
    paths = {name: str(folder / Path(path).expanduser()) for name, path in known.items() if isinstance(path, str)}
    return replace(policy, options={**policy.options, **paths}) if paths else policy


def _resolve_reference(folder: Path, text: str) -> str:
    if text.startswith(PREFIX):
        return SecretCommand.of(text, folder)
    return f"file:{folder / Path(text[5:]).expanduser()}" if text.startswith("file:") else text


def _authorities(ca: str, path: Path | None, env: Mapping[str, str]) -> Path | None:
    """The CA file, checked here because a TLS library's error names neither the file nor the variable."""
    if ca and path:
        said, found = "network.ca", path.parent / Path(ca).expanduser()
    else:
        said = next((each for each in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT") if env.get(each)), "")
        if not said:
            return None
        found = _absolute(env[said])
    if not found.is_file():
        raise ConfigError(
            f"{said} is set to {str(found)!r}, which is not a file", "Set it to a PEM file of CA certificates."
        )
    return found


def _proxy_variable(variable: str, env: Mapping[str, str]) -> str:
    """Lower case takes precedence, as in curl and urllib."""
    return env.get(variable.lower()) or env.get(variable, "")


def _listed(text: str) -> tuple[str, ...]:
    return tuple(each.strip() for each in text.split(",") if each.strip())


def _proxy(variable: str, setting: str, env: Mapping[str, str]) -> str:
    """The URL of a proxy. It may contain a password, so errors never show it."""
    said, text = ("network.proxy", setting) if setting else (variable, _proxy_variable(variable, env))
    if not text:
        return ""
    if "://" not in text:
        text = f"http://{text}"  # 'proxy.example:3128' is common
    try:
        parts = urlsplit(text)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fits = False
    if not fits:
        raise ConfigError(f"{said} is not a proxy URL", "Write it as http://host:port.")
    return text.rstrip("/")


def _checked_api_key(key: str) -> str:
    """An API key strong enough to be the only protection; it is compared, never shown."""
    if key and (weakness := _weakness(key)):
        hint = "Make one with: python -c \"import secrets; print('sk-sw-' + secrets.token_urlsafe(32))\""
        raise ConfigError(f"SIZEWISE_KEY {weakness}", hint)
    return key


def _weakness(key: str) -> str:
    """Finds repetitions and sequences, not dictionary words; a random key of 24 hexadecimal digits passes."""
    if len(key) < 24:
        return "is shorter than 24 characters"
    if not key.isascii() or not key.isprintable() or " " in key:
        return "contains white space or non-ASCII characters"
    steps = {ord(after) - ord(before) for before, after in pairwise(key)}
    repeated = (key + key).find(key, 1) < len(key)
    return "has too little variety" if len(set(key)) < 6 or len(steps) < 6 or repeated else ""
