"""What the guard of secrets finds: of issuers that it states, of a pack of others' rules, and in what is none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random
from string import ascii_letters, ascii_lowercase, ascii_uppercase, digits

from bench.guardrails.external_datasets import AGENTSWEEP, agentsweep, ordinary
from bench.guardrails.table_row import Row
from sizewise.guardrails.secrets import find_secrets

ALNUM, HEX, CAPITALS = ascii_letters + digits, "0123456789abcdef", ascii_uppercase + digits

OWN: Mapping[str, tuple[str, str, int]] = {
    "OpenAI": ("sk-proj-", ALNUM + "_-", 64),
    "OpenAI, old": ("sk-", ALNUM, 48),
    "Anthropic": ("sk-ant-api03-", ALNUM + "_-", 95),
    "OpenRouter": ("sk-or-v1-", HEX, 64),
    "Sizewise": ("sw-", ALNUM + "_-", 43),
    "Google": ("AIza", ALNUM + "_-", 35),
    "Groq": ("gsk_", ALNUM, 52),
    "Hugging Face": ("hf_", ascii_letters, 34),
    "xAI": ("xai-", ALNUM, 80),
    "Perplexity": ("pplx-", ALNUM, 48),
    "Replicate": ("r8_", ALNUM, 37),
    "AWS": ("AKIA", ascii_uppercase + "234567", 16),
    "GitHub": ("ghp_", ALNUM, 36),
    "GitHub, fine-grained": ("github_pat_", ALNUM + "_", 82),
    "GitLab": ("glpat-", ALNUM + "_-", 20),
    "npm": ("npm_", ALNUM, 36),
    "PyPI": ("pypi-AgEIcHlwaS5vcmc", ALNUM + "_-", 140),
    "Slack": ("xoxb-2345678901-2345678901234-", ALNUM, 24),
    "Stripe": ("sk_live_", ALNUM, 24),
    "SendGrid": ("SG.", ALNUM + "_-", 22),  # and a second part: below
    "DigitalOcean": ("dop_v1_", HEX, 64),
    "Databricks": ("dapi", HEX, 32),
    "Vault": ("hvs.", ALNUM + "_-", 95),
    "Shopify": ("shpat_", HEX, 32),
    "Linear": ("lin_api_", ALNUM, 40),
    "Docker": ("dckr_pat_", ALNUM + "_-", 27),
}
"""Issuer -> what its secrets begin with, of which characters they are, and how many follow."""
SAID = (
    "{}",
    "my key is {}, does it work?",
    "export API_KEY={}\n",
    'client = Client(api_key="{}")',
    '{{"key":"{}"}}',
    "curl -H 'Authorization: Bearer {}' https://api.example.com",
    "https://api.example.com/v1?key={}&x=1",
)
BEHIND = ("password = '{}'", '"client_secret": "{}"', "DB_PASSWORD={}", "postgres://app:{}@db.internal:5432/app")
NONE = (
    "Explain what an API key is and where the token goes.",
    "password: ${DB_PASSWORD}",
    'api_key = os.environ["OPENAI_API_KEY"]',
    "token = get_token(user)",
    "the secret is to knead the dough for ten minutes",
    "key: value",
    "primary_key=True, nullable=False",
    'client = Client(api_key="YOUR_API_KEY")',
    "sk-learn is short for scikit-learn, and sk-estimators-are-cloned-before-fit is a slug",
    "commit 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "id 3f2504e0-4f89-11d3-9a0c-0305e82c3301 was not found",
    "https://example.com/a/very/long/path/to/some/resource-with-a-long-name-2024",
    "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A\n-----END PUBLIC KEY-----",
    "-----BEGIN CERTIFICATE-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A\n-----END CERTIFICATE-----",
    "password must be at least 12 characters, with a digit",
    "max_tokens=1024, token_type_ids=None, tokenizer.pad_token = tokenizer.eos_token",
    "Authorization: Bearer <token>",
    "The passphrase was forgotten and the keyboard is broken.",
    "def authenticate(user, password): return check(user, password)",
    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
)
SEEN = "mailgun-public-key"
"""The last rule of the foreign set that was read while the guard was written; those behind it were not."""
AT_FIRST = (77, 103)
"""What was found of the unread ones the first time, before they were read too and their issuers added."""


def own(draws: int = 40) -> Iterator[str]:
    chance = Random(5)
    for start, letters, size in OWN.values():
        for _ in range(draws):
            secret = start + "".join(chance.choice(letters) for _ in range(size))
            if start == "SG.":
                secret += "." + "".join(chance.choice(letters) for _ in range(43))
            yield chance.choice(SAID).format(secret)
    for _ in range(draws * 4):
        size = chance.randint(10, 24)
        word = "".join(chance.choice(ascii_lowercase + ascii_uppercase + digits) for _ in range(size)) + "a7Q"
        yield chance.choice(BEHIND).format(word)


def rows(folder: Path | None = None) -> list[Row]:
    texts, mine, theirs = ordinary(folder), list(own()), agentsweep()
    found = sum(bool(find_secrets(text)) for text in mine)
    false = sum(bool(find_secrets(text)) for text in NONE)
    alarms = sum(bool(find_secrets(text)) for text in texts)
    read = list(theirs).index(SEEN) + 1
    others = [
        ("rules read before", list(theirs.values())[:read], "train"),
        ("the other rules, read after the first look", list(theirs.values())[read:], "train by now"),
    ]
    first, of = AT_FIRST
    return [
        Row(
            "secrets",
            "every stated issuer",
            "ours, drawn by lot",
            len(mine),
            found / len(mine),
            found / (found + false),
        ),
        Row(
            "secrets",
            "ordinary prompts, and texts that look like secrets",
            "unseen; ours",
            0,
            None,
            None,
            alarms + false,
            len(texts) + len(NONE),
        ),
        *(
            Row(
                "secrets",
                f"gitleaks' pack: {name}",
                f"{AGENTSWEEP} (MIT), {seen}",
                len(part),
                sum(bool(find_secrets(each)) for each in part) / len(part),
                None,
            )
            for name, part, seen in others
        ),
        Row(
            "secrets",
            "gitleaks' pack: the other rules, at the first look",
            f"{AGENTSWEEP} (MIT), unseen",
            of,
            first / of,
            None,
        ),
    ]
