"""`sizewise models update`: a signed list changes prices, models and windows, shown first; booked costs stay."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sizewise.catalog.catalog_update import parse_update
from sizewise.catalog.current_catalog import Catalog
from sizewise.catalog.update_signature import KEY_HINT
from tests.catalog.fake_package_index import serving as serving_files
from tests.cli.terminal import Done, sizewise
from tests.running_server import ECHO, serving

ROOT = Path(__file__).parents[2]
KEY, OTHER = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
PUBLIC = base64.b64encode(KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()
TRUST = f'[catalog]\nupdate_key = "{PUBLIC}"\n'
MINE = '[providers.mine]\nendpoint = "openai"\nwire = "echo"\nplace = "process"\nmodels = ["gpt-4o"]\n'
HEAD = 'date = "2026-11-20"\nsource = "prices of Example Ltd"\n'
PRICE = '[prices.openai]\n"gpt-4o" = { input = "250", output = "1000" }\n'
NEW = (
    '[models."example-1"]\ntitle = "Example 1"\nvendor = "Example"\naliases = ["ex-1"]\n'
    "facts = [{ context = 32_000, parameters = 1_000_000_000 }]\n"
)


def signed(home: Path, text: str, key: Ed25519PrivateKey = KEY, *, trust: str = TRUST) -> Path:
    """A list and its signature in `home`, with settings that name the key."""
    path = home / "list.toml"
    path.write_text(text)
    (home / "list.toml.sig").write_bytes(key.sign(text.encode()))
    if not (home / "sizewise.toml").exists():
        (home / "sizewise.toml").write_text(trust)
    return path


def update(home: Path, *words: str | Path) -> Done:
    return sizewise("models", "update", *map(str, words), home=home)


def changes(home: Path, text: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = update(home, signed(home, text), "--dry-run", "--json").json["changes"]
    return found


def costs(home: Path) -> list[str]:
    return [each["costUsd"] for each in sizewise("records", "--json", home=home).json["records"]]


@pytest.mark.long
def test_a_signed_list_changes_prices_from_now_on_and_no_booked_cost(tmp_path: Path) -> None:
    with serving(tmp_path / "home", ECHO + MINE + TRUST) as server:
        home = server.home
        assert server.chat("mine/gpt-4o").status == 200
        before = costs(home)
        done = update(home, signed(home, HEAD + PRICE), "--yes")
        assert done.code == 0 and "the running server has reloaded" in done.out, done.err
        assert server.chat("mine/gpt-4o").status == 200
        after = costs(home)
    assert after[1:] == before and float(after[0]) == pytest.approx(100 * float(before[0]))


@pytest.mark.parametrize(
    ("trust", "key", "hint"),
    [
        ("", KEY, KEY_HINT),
        (TRUST, OTHER, "Check where list and signature come from; nothing was changed."),
        ('[catalog]\nupdate_key = "AAAA"\n', KEY, "Fix the file and try again; nothing was changed."),
    ],
    ids=["no key", "another key", "an invalid key"],
)
@pytest.mark.long
def test_a_list_that_the_trusted_key_has_not_signed_is_refused(
    tmp_path: Path, trust: str, key: Ed25519PrivateKey, hint: str
) -> None:
    done = update(tmp_path, signed(tmp_path, HEAD + PRICE, key, trust=trust), "--yes")
    assert done.code == 2 and done.hint == f"hint: {hint}"
    assert not (tmp_path / "catalog-update.json").exists()


@pytest.mark.long
def test_one_changed_byte_of_the_list_is_refused(tmp_path: Path) -> None:
    path = signed(tmp_path, HEAD + PRICE)
    path.write_text(path.read_text().replace("250", "251"))
    assert "not signed" in update(tmp_path, path, "--yes").err


@pytest.mark.long
def test_a_dry_run_shows_prices_models_and_windows_and_changes_nothing(tmp_path: Path) -> None:
    text = HEAD + PRICE + NEW + '[models."gpt-4o"]\nfacts = [{ context = 256_000 }]\n'
    text += '[availability.openai]\n"gpt-4o" = { ends = "2027-06-30" }\n'
    found = {(each["kind"], each["name"]): (each["before"], each["after"]) for each in changes(tmp_path, text)}
    assert found[("fact", "gpt-4o")] == ("128,000", "256,000")
    assert found[("model", "example-1")] == ("", "Example 1")
    assert found[("availability", "openai/gpt-4o")][1] == "ends on 2027-06-30"
    before, after = found[("price", "openai/gpt-4o")]
    assert before.startswith("input 2.5, output 10") and after == "input 250, output 1000 dollars per million tokens"
    assert not (tmp_path / "catalog-update.json").exists()


@pytest.mark.long
def test_changes_are_installed_only_once_confirmed(tmp_path: Path) -> None:
    path = signed(tmp_path, HEAD + NEW)
    done = update(tmp_path, path)
    assert done.code == 2 and "--yes" in done.hint and "Example 1" in done.out
    assert sizewise("models", "show", "ex-1", home=tmp_path).code == 2
    assert update(tmp_path, path, "--yes").out.endswith("installed\n")
    shown = sizewise("models", "show", "ex-1", home=tmp_path).out
    assert "32,000" in shown and "prices of Example Ltd, 2026-11-20" in shown
    assert "no difference" in update(tmp_path, path).out


@pytest.mark.long
def test_a_list_is_read_from_a_url_with_its_signature_beside_it(tmp_path: Path) -> None:
    path = signed(tmp_path, HEAD + NEW)
    with serving_files() as files:
        files.files["/catalog.toml?v=1"] = path.read_bytes()
        files.files["/catalog.toml.sig?v=1"] = base64.b64encode((tmp_path / "list.toml.sig").read_bytes())
        done = update(tmp_path, f"{files.url}/catalog.toml?v=1", "--yes", "--json")
        assert done.json["applied"] and [path for path, _ in files.asked] == list(files.files)
        missing = update(tmp_path, f"{files.url}/other.toml?token=s3cret", "--yes")
    assert missing.code == 3 and "404" in missing.err and "s3cret" not in missing.err


@pytest.mark.parametrize("url", ["http://", "http://[::1", "http://h:99999/x?token=s3cret"])
@pytest.mark.long
def test_what_is_no_url_is_refused_without_its_query(tmp_path: Path, url: str) -> None:
    (tmp_path / "sizewise.toml").write_text(TRUST)
    done = update(tmp_path, url)
    assert done.code == 2 and "https://host:port/path" in done.hint and "s3cret" not in done.err


@pytest.mark.long
def test_an_older_list_does_not_replace_a_newer_one_unasked(tmp_path: Path) -> None:
    assert update(tmp_path, signed(tmp_path, HEAD + NEW), "--yes").code == 0
    older = signed(tmp_path, HEAD.replace("11-20", "11-19") + PRICE)
    assert "--older" in update(tmp_path, older, "--yes").hint
    assert update(tmp_path, older, "--yes", "--older").code == 0


@pytest.mark.long
def test_a_packaged_price_of_a_later_date_counts(tmp_path: Path) -> None:
    assert changes(tmp_path, HEAD.replace("2026-11-20", "2026-01-01") + PRICE) == []


@pytest.mark.long
def test_a_price_also_for_dated_editions_leaves_one_that_has_its_own_price(tmp_path: Path) -> None:
    text = HEAD + PRICE.replace("}", ", dated = true }")
    assert [each["name"] for each in changes(tmp_path, text)] == ["openai/gpt-4o"]
    prices = Catalog(parse_update(text.encode())).prices("openai", ["gpt-4o-2024-05-13", "gpt-4o-2026-11-01"])
    assert {name: (price.input, price.output) for name, price in prices.items()} == {
        "gpt-4o-2024-05-13": (5_000_000, 15_000_000),
        "gpt-4o-2026-11-01": (250_000_000, 1_000_000_000),
    }


@pytest.mark.long
def test_another_name_of_a_known_model_is_shown(tmp_path: Path) -> None:
    (name,) = changes(tmp_path, HEAD + '[models."gpt-4o"]\naliases = ["our-best"]\n')
    assert (name["name"], name["what"], name["after"]) == ("gpt-4o", "also named", "our-best")


@pytest.mark.long
def test_changed_rates_of_long_prompts_and_other_times_are_shown(tmp_path: Path) -> None:
    row = ', above = [{ tokens = 200_000, input = "9" }], when = [{ since = "2027-01-01", input = "7" }] }'
    (price,) = changes(tmp_path, HEAD + PRICE.replace(" }", row))
    assert "above 200,000 prompt tokens input 9 dollars" in price["after"]
    assert "from 2027-01-01 input 7 dollars" in price["after"]


@pytest.mark.long
def test_without_the_key_the_packaged_catalog_is_used_and_doctor_says_so(tmp_path: Path) -> None:
    assert update(tmp_path, signed(tmp_path, HEAD + NEW), "--yes").code == 0
    (tmp_path / "sizewise.toml").write_text("")
    assert sizewise("models", "show", "ex-1", home=tmp_path).code == 2
    checks = sizewise("doctor", "--json", home=tmp_path).json["checks"]
    (found,) = [each for each in checks if each["check"] == "catalog"]
    assert not found["ok"] and "no key" in found["found"] and "--remove" in found["next"]
    assert update(tmp_path, "--remove", "--yes").out.endswith("removed\n")
    assert "catalog" not in [each["check"] for each in sizewise("doctor", "--json", home=tmp_path).json["checks"]]


@pytest.mark.parametrize("damage", [b"", b"{", b'{"list": 3}', b'{"list": "", "signature": "AA"}', b"[]"])
@pytest.mark.long
def test_a_damaged_update_in_the_home_folder_is_not_used(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "sizewise.toml").write_text(TRUST)
    (tmp_path / "catalog-update.json").write_bytes(damage)
    assert sizewise("models", "show", "gpt-4o", home=tmp_path).code == 0
    assert "not used" in json.dumps(sizewise("doctor", "--json", home=tmp_path).json)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (PRICE, "date is missing"),
        ("\x00", "not TOML"),
        ("date = " + "[" * 5_000, "nested too deeply"),
        (
            HEAD + '[prices.openai]\n"gpt\\u001b[2J" = { input = "1" }',
            r"'gpt\x1b[2J' has characters that cannot be shown",
        ),
        (HEAD + PRICE.replace("}", ', date = "2999-01-01" }'), "has a date in the future, 2999-01-01"),
        (HEAD + '[availability.openai]\n"gpt-4o" = { date = "2999-01-01" }', "has a date in the future, 2999-01-01"),
        (HEAD.replace("2026", "2999") + PRICE, "in the future"),
        (HEAD + '[prices.openai]\n"gpt-4o" = { input = "-1" }', "prices.openai"),
        (HEAD + '[prices.openai]\n"gpt-4o" = { inptu = "1" }', "there is no such setting"),
        (HEAD + '[prices.openai]\n"gpt-4o" = {}', "states no price"),
        (HEAD + '[prices.openai]\n"gpt-4o" = { input = "1", when = [{ since = "soon" }] }', "soon"),
        (HEAD + '[prices.openai]\n"gpt-4o" = 3', "is not a table"),
        (HEAD + '[models."example-1"]\nfacts = []', "title: is missing"),
        (HEAD + '[models."example-1"]\nfacts = 3', "is not a table"),
        (HEAD + NEW.replace("ex-1", "gpt-4o"), "'gpt-4o' is also a name of 'gpt-4o'"),
        (HEAD + NEW.replace("32_000", "32_000, max_output = 64_000"), "is more than the context"),
        (HEAD + NEW.replace("facts", 'offers = { openai = ["example-9"] }\nfacts'), "has no price"),
        (HEAD + '[models."gpt-4o-2024-11-20"]\nfacts = []', "use that"),
        (HEAD + "[plices]", "Did you mean"),
    ],
)
@pytest.mark.long
def test_an_invalid_list_is_refused_with_words(tmp_path: Path, text: str, words: str) -> None:
    done = update(tmp_path, signed(tmp_path, text), "--yes")
    assert done.code == 2 and words in done.err
    assert not (tmp_path / "catalog-update.json").exists()


@pytest.mark.long
def test_the_list_in_the_docs_is_accepted(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "how-to" / "update-the-catalog.md").read_text()
    text = page.partition("```text\n")[2].partition("```")[0]
    assert {each["name"] for each in changes(tmp_path, text)} >= {"openai/gpt-4o", "gpt-4o", "example-1"}
