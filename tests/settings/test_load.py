"""What a user writes in sizewise.toml and the environment, and what they are told when it is wrong."""

from __future__ import annotations

import re
import secrets
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from docs.settings import pages
from sizewise.errors import ConfigError
from sizewise.http.proxies import ProxyConfig
from sizewise.settings import load as page
from sizewise.settings import otel_variables
from sizewise.settings.load import ENVIRONMENT_VARIABLES, Settings, load_settings, resolve_secret
from sizewise.settings.renamed import RENAMED
from sizewise.settings.root import FileSettings
from sizewise.settings.toml_reader import read_table

GOOD = """
[server]
port = 9000
allowed_hosts = ["sizewise.example"]
[router]
policy = "careful"
large = "cloud/big/one"
data_class = "confidential"
[egress]
confidential = "process"
[policies.careful]
kind = "cascade"
threshold = 0.8
models = ["local/smollm2-135m"]
[providers.cloud]
base_url = "https://cloud.example/v1/"
key = "env:CLOUD_KEY"
models = ["big/one"]
headers = { x-team = "search", Authorization = "file:team.key" }
timeouts = { first_byte_s = 30 }
[models."cloud/big/one"]
context = 128000
tools = true
input_modalities = ["image"]
price = { input = "0.15", output = "0.60", cached = "0.075", source = "their price page", date = "2026-11-01" }
"""


def written(folder: Path, text: str, name: str = "sizewise.toml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def settings(folder: Path, text: str, **environ: str) -> Settings:
    return load_settings(written(folder, text), folder / "home", environ)


def refusal(folder: Path, text: str, **environ: str) -> str:
    with pytest.raises(ConfigError) as caught:
        settings(folder, text, **environ)
    return caught.value.message


def test_what_is_written_is_what_is_set_and_the_rest_is_as_by_default(tmp_path: Path) -> None:
    got = settings(tmp_path, GOOD)
    assert (got.server.port, got.server.host, got.server.allowed_hosts) == (9000, "127.0.0.1", ("sizewise.example",))
    assert (got.router.policy, got.router.large, got.egress.confidential) == ("careful", "cloud/big/one", "process")
    assert dict(got.policies["careful"].options) == {"threshold": 0.8, "models": ["local/smollm2-135m"]}
    assert got.policies["default"].kind == "cascade"
    cloud, facts = got.providers["cloud"], got.models["cloud/big/one"]
    assert (cloud.base_url, cloud.place, cloud.max_connections) == ("https://cloud.example/v1", "anyone", 4_096)
    assert (cloud.timeouts.first_byte_s, cloud.timeouts.idle_s) == (30.0, 60.0)
    assert cloud.headers["Authorization"] == f"file:{tmp_path / 'team.key'}"
    assert (
        facts.input_modalities == frozenset({"image"})
        and facts.price is not None
        and facts.price.price().input == 150_000
    )


def test_every_mistake_of_a_file_is_told_at_once_with_its_place_and_the_nearest_known_word(tmp_path: Path) -> None:
    told = refusal(
        tmp_path,
        """
        [server]
        port = 70000
        fast_path = "yes"
        allowed_hosts = "here"
        [router]
        policy = "defualt"
        [providers.openai]
        base_ulr = "https://x"
        place = "moon"
        [providers.cloud]
        base_url = "ftp://x"
        timeouts = { first_byte_s = true }
        [models."openai/gpt"]
        price = { input = 0.15, output = "0.1234567" }
        input_modalities = ["video"]
        [models.gpt]
        [recods]
        """,
    )
    for line in (
        "server.port: 70000 is not from 0 to 65535",
        "server.fast_path: 'yes' is not true or false",
        "server.allowed_hosts: 'here' is not a list in [brackets]",
        "router.policy: there is no policy 'defualt'. Did you mean 'default'?",
        "providers.openai.base_ulr: there is no such setting. Did you mean 'base_url'?",
        "providers.openai.base_url: is missing",
        "providers.openai.place: 'moon' is not one of 'process', 'machine', 'network', 'region', 'anyone'",
        "providers.cloud.base_url: is not a URL like 'https://host/v1'",
        "providers.cloud.timeouts.first_byte_s: True is not a number",
        "models.'openai/gpt'.price.input: 0.15 is not a string",
        "models.'openai/gpt'.price.output: '0.1234567' is not a price: use dollars per million tokens",
        "models.'openai/gpt'.input_modalities[0]: 'video' is not one of 'image', 'audio', 'file'",
        "models.gpt: 'gpt' does not have the form <provider>/<model>",
        "recods: there is no such setting. Did you mean 'records'?",
    ):
        assert line in told
    assert "14 errors" in told


@pytest.mark.parametrize(
    "text",
    [
        '[providers.x]\nbase_url = "https://x"\nkey = "sk-TELLTALE"',
        '[providers.x]\nbase_url = "https://x"\nkey = ["sk-TELLTALE"]',
        '[providers.x]\nbase_url = "https://x"\napi_key = "sk-TELLTALE"',
        '[providers.x]\nbase_url = "https://x"\nheaders = { Authorization = "Bearer TELLTALE" }',
        '[providers.x]\nbase_url = "https://me:TELLTALE@x/v1"',
        '[network]\nproxy = "htp://me:TELLTALE@proxy"',
        '[network]\nproxy = ["me:TELLTALE@proxy"]',
    ],
)
def test_a_secret_written_into_the_file_is_refused_and_not_repeated(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settings(tmp_path, text)
    assert "TELLTALE" not in caught.value.message + caught.value.hint


def test_a_literal_key_is_answered_with_how_to_write_a_reference(tmp_path: Path) -> None:
    told = refusal(tmp_path, '[providers.x]\nbase_url = "https://x"\nkey = "sk-123"')
    assert 'providers.x.key: a key is given by reference, as "env:MY_API_KEY"' in told


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("[server]\nport = \n", "line 2"),
        ("[server]\nport = 1\nport = 2\n", "line 3"),
        ("server = 3", "server: 3 is not a table"),
        ("[router.policy]\nx = 1", "router.policy: {'x': 1} is not a string"),
        ("[[providers]]\n", "providers: [{}] is not a table"),
        ("[policies]\ndefault = 'cascade'", "policies.default: 'cascade' is not a table"),
        ("[policies.p]\nkind = 3", "policies.p.kind: 3 is not a string"),
        ("[server]\ndrain_timeout_s = nan", "server.drain_timeout_s: nan is not from 0 to 3600"),
        (f"[server]\ndrain_timeout_s = {10**400}", "server.drain_timeout_s: 1000"),
        (f"[server]\nport = {'9' * 5000}", "is not TOML"),
        ("[server]\nport = 80.5", "server.port: 80.5 is not a whole number"),
        ("[providers.'a/b']\nbase_url='http://x'", "providers.'a/b': a name consists of"),
        ("[providers.a]\nbase_url='http://x:99999'", "is not a URL"),
        ("[providers.a]\nbase_url='http://[x'", "is not a URL"),
        ("[providers.a]\nbase_url='http://x?key=1'", "must not contain a query"),
        ("[providers.a]\nbase_url='http://x'\nheaders={Cookie=3}", "headers.Cookie"),
        ("[providers.a]\nbase_url='http://x'\nheaders={a=\"b\\r\\nc\"}", "one printable line"),
        ("[network]\nca = 'missing.pem'", "missing.pem"),
    ],
)
def test_a_broken_file_is_told_where_it_is_broken(tmp_path: Path, text: str, part: str) -> None:
    assert part in refusal(tmp_path, text)


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "sizewise.toml"
    path.write_bytes(b"[server]\nhost = '\xff'")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_settings(path, tmp_path, {})


@given(
    some.recursive(
        some.none() | some.booleans() | some.integers() | some.floats() | some.text(max_size=9),
        lambda inner: (
            some.lists(inner, max_size=3)
            | some.dictionaries(
                some.sampled_from(
                    [each.name for each in fields(FileSettings)] + ["key", "base_url", "x", "policy", "headers"],
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    ),
)
def test_no_table_however_odd_breaks_the_reader(table: object) -> None:
    wrong: list[str] = []
    got = read_table(FileSettings, table, "", wrong)
    assert wrong or isinstance(got, FileSettings)


def test_the_file_named_on_the_command_line_goes_before_the_environment_the_folder_and_the_home(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    home, here = tmp_path / "home", tmp_path / "here"
    home.mkdir()
    here.mkdir()
    monkeypatch.chdir(here)
    assert load_settings(None, home, {}).config_file is None

    written(home, "[server]\nport = 1")
    assert load_settings(None, home, {}).server.port == 1
    written(here, "[server]\nport = 2")
    assert load_settings(None, home, {}).server.port == 2
    named = {"SIZEWISE_CONFIG": str(written(tmp_path, "[server]\nport = 3", "three.toml")), "SIZEWISE_HOME": str(home)}
    assert load_settings(None, None, named).server.port == 3
    assert load_settings(written(tmp_path, "[server]\nport = 4", "four.toml"), None, named).server.port == 4
    assert load_settings(None, None, named).home == home


def test_a_named_file_must_be_there(tmp_path: Path) -> None:
    for config, environ in ((tmp_path / "no.toml", {}), (None, {"SIZEWISE_CONFIG": str(tmp_path / "no.toml")})):
        with pytest.raises(ConfigError, match=r"no file .*no\.toml"):
            load_settings(config, tmp_path, environ)


def test_folders_come_from_the_environment_and_else_from_the_users_own(tmp_path: Path) -> None:
    got = load_settings(None, None, {"SIZEWISE_HOME": str(tmp_path / "h"), "SIZEWISE_CACHE": str(tmp_path / "c")})
    assert (got.home, got.cache_dir) == (tmp_path / "h", tmp_path / "c")
    assert load_settings(None, tmp_path, {}).cache_dir.is_absolute()


@pytest.mark.parametrize(
    "key",
    ["tiny", "a" * 40, "abc" * 12, "passwordpasswordpassword", "abcdefghijklmnopqrstuvwxyz", "0123456789" * 4,
     "has a space in it, and is long", "schlüssel-schlüssel-9f2k1"],
)  # fmt: skip
def test_a_weak_first_key_is_refused_and_not_repeated(tmp_path: Path, key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(None, tmp_path, {"SIZEWISE_KEY": key})
    assert "SIZEWISE_KEY" in caught.value.message and key not in caught.value.message + caught.value.hint


def test_a_random_first_key_is_good_enough_and_never_shown(tmp_path: Path) -> None:
    for key in [secrets.token_hex(12) for _ in range(500)] + [secrets.token_urlsafe(24) for _ in range(500)]:
        got = load_settings(None, tmp_path, {"SIZEWISE_KEY": key})
        assert got.api_key == key and key not in repr(got)


def test_proxies_and_authorities_come_from_the_environment_and_the_file_goes_first(tmp_path: Path) -> None:
    pem, other = written(tmp_path, "", "ca.pem"), written(tmp_path, "", "other.pem")
    environ = {
        "HTTPS_PROXY": "http://big:1", "https_proxy": "http://me:TELLTALE@small:1", "HTTP_PROXY": "plain:3128",
        "NO_PROXY": "localhost, .example ,10.0.0.0/8", "REQUESTS_CA_BUNDLE": str(pem), "PIP_CERT": str(other),
        "NO_COLOR": "1",
    }  # fmt: skip
    got = settings(tmp_path, "", **environ)
    assert (got.proxies.https, got.proxies.http) == ("http://me:TELLTALE@small:1", "http://plain:3128")
    assert got.proxies.no_proxy == ("localhost", ".example", "10.0.0.0/8")
    assert (got.ca_file, got.color) == (pem, False)
    assert "TELLTALE" not in repr(got)

    mine = settings(tmp_path, '[network]\nproxy = "http://mine:1"\nca = "other.pem"\nno_proxy = ["a"]', **environ)
    assert (mine.proxies, mine.ca_file) == (ProxyConfig("http://mine:1", "http://mine:1", ("a",)), other)


def test_missing_authorities_are_told_with_the_variable_that_names_them(tmp_path: Path) -> None:
    assert "SSL_CERT_FILE is set to" in refusal(tmp_path, "", SSL_CERT_FILE=str(tmp_path / "no.pem"))


def test_a_key_is_read_from_where_its_reference_points(tmp_path: Path) -> None:
    path = written(tmp_path, "sk-from-file\n", "cloud.key")
    assert resolve_secret("env:CLOUD_KEY", {"CLOUD_KEY": " sk-from-env "}) == "sk-from-env"
    assert resolve_secret(f"file:{path}") == "sk-from-file"
    assert resolve_secret("") == ""


@pytest.mark.parametrize(
    ("reference", "part"),
    [
        ("env:CLOUD_KEY", "'CLOUD_KEY' is not set"),
        ("file:/no/such/file", "'/no/such/file' cannot be read"),
        ("sk-TELLTALE", "instead of a reference"),
        ("env:TWO_LINES", "one printable line"),
    ],
)
def test_a_key_that_cannot_be_read_is_told_with_the_next_step(reference: str, part: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve_secret(reference, {"CLOUD_KEY": "", "TWO_LINES": "sk-a\nsk-b"})
    assert part in caught.value.message and caught.value.hint and "TELLTALE" not in caught.value.message


def test_every_variable_that_is_read_is_documented() -> None:
    source = Path(page.__file__).read_text()
    body = source[source.index("SECRET_BYTES") :] + Path(otel_variables.__file__).read_text()
    assert set(re.findall(r'"((?:[A-Z]+_)+[A-Z]+)"', body)) == {name for name, _ in ENVIRONMENT_VARIABLES}


def test_an_empty_file_is_the_same_as_none(tmp_path: Path) -> None:
    assert tomllib.loads("") == {}
    bare, empty = load_settings(None, tmp_path, {}), settings(tmp_path, "")
    for each in fields(FileSettings):
        assert getattr(bare, each.name) == getattr(empty, each.name)


def test_the_reference_and_the_schema_are_as_the_settings_say() -> None:
    for path, text in pages().items():
        assert path.read_text() == text, f"{path.name} is stale: run `make docs`"


def test_a_renamed_setting_is_refused_with_its_new_name_and_all_of_them_at_once(tmp_path: Path) -> None:
    told = refusal(
        tmp_path,
        """
        [vault]
        kms = "command:/bin/true"
        [guards]
        mark = true
        about = { games = { deny = ["chess"] } }
        [router]
        total_s = "long"
        [policies.mine]
        kind = "promised"
        promise = { quality = 0.95, sure = 0.9 }
        [[policies.mine.tests]]
        may = ["cloud/*"]
        [roles.ops]
        may = ["ask", "manage_vault"]
        [limits.organisation]
        usd_day = "5"
        [webhooks.ops]
        url = "https://ops.example"
        secret = "env:OPS"
        events = ["budget.alert", "promise.broken"]
        """,
    )
    for line in (
        "vault: there is no such setting. It was renamed to 'encryption'.",
        "guards: there is no such setting. It was renamed to 'guardrails'.",
        "guardrails.mark: there is no such setting. It was renamed to 'spotlighting'.",
        "guardrails.about: there is no such setting. It was renamed to 'denied_topics'.",
        "router.total_s: there is no such setting. It was renamed to 'timeout_s'.",
        "router.timeout_s: 'long' is not a number",
        "policies.mine.kind: 'promised' was renamed to 'certified'",
        "policies.mine.promise: there is no such setting. It was renamed to 'target'.",
        "policies.mine.target.sure: there is no such setting. It was renamed to 'confidence'.",
        "policies.mine.tests[0].may: there is no such setting. It was renamed to 'allowed_models'.",
        "roles.ops.may: there is no such setting. It was renamed to 'permissions'.",
        "roles.ops.permissions: 'manage_vault' was renamed to 'manage_encryption'",
        "limits.organisation: there is no such setting. It was renamed to 'organization'.",
        "limits.organization.usd_day: there is no such setting. It was renamed to 'usd_per_day'.",
        "webhooks.ops.events: 'promise.broken' was renamed to 'target.missed'",
    ):
        assert line in told, line
    assert "15 errors" in told


def test_a_policy_of_another_kind_may_have_an_option_that_ours_called_so_once(tmp_path: Path) -> None:
    got = settings(tmp_path, '[policies.mine]\nkind = "theirs"\ntrust = 0.5\ntarget = {sure = 1}')
    assert dict(got.policies["mine"].options) == {"trust": 0.5, "target": {"sure": 1}}
    assert "It was renamed to 'threshold'" in refusal(tmp_path, "[policies.mine]\ntrust = 0.5")


def test_the_table_of_renamed_settings_is_the_one_in_the_docs_and_every_new_name_is_known() -> None:
    rows = [line.split("\t") for line in Path("docs/names.tsv").read_text().splitlines()]
    assert rows[0] == ["old", "new", "kind"] and rows[1:] == sorted(rows[1:], key=lambda row: (row[2], row[0]))
    assert all(len(row) == 3 and row[0] != row[1] for row in rows[1:])
    assert {old: new for old, new, kind in rows[1:] if kind == "settings"} == RENAMED
