"""lm-evaluation-harness over chats and over log-probabilities of prompts, kept apart; prints its metrics."""

from __future__ import annotations

import json
import os
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import lm_eval
from lm_eval.tasks import TaskManager
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import PreTrainedTokenizerFast

FOLDER = Path(os.environ["TASKS"])
URL = os.environ["SIZEWISE_URL"]
WORDS = ["[end]", "[none]", "Is", "it", "Paris", "Rome", "in", "France"]
SHARED: dict[str, Any] = {"dataset_path": "json", "test_split": "test"}


def write_task(name: str, rows: list[dict[str, str]], **more: object) -> None:
    data = FOLDER / f"{name}.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = {"task": name, **SHARED, "dataset_kwargs": {"data_files": {"test": str(data)}}, **more}
    (FOLDER / f"{name}.yaml").write_text(json.dumps(task))  # JSON is YAML


def tokenizer() -> str:
    """The folder of a tokenizer of eight words: the double of a model that scores prompts takes their numbers."""
    made = Tokenizer(WordLevel({word: at for at, word in enumerate(WORDS)}, unk_token="[none]"))
    made.pre_tokenizer = WhitespaceSplit()
    folder = FOLDER / "tokenizer"
    PreTrainedTokenizerFast(tokenizer_object=made, eos_token="[end]", unk_token="[none]").save_pretrained(folder)
    return str(folder)


def measure(kind: str, door: str, model: str, task: str, **more: object) -> dict[str, Any]:
    about = {"model": model, "base_url": f"{URL}/v1/{door}", "num_concurrent": 2, "max_retries": 1, **more}
    found = lm_eval.simple_evaluate(
        model=kind,
        model_args=about,
        tasks=[task],
        task_manager=TaskManager(include_path=str(FOLDER), include_defaults=False),
        apply_chat_template=kind.endswith("chat-completions"),
        bootstrap_iters=0,
    )
    metrics: dict[str, Any] = found["results"][task]
    return {name.partition(",")[0]: value for name, value in metrics.items() if "stderr" not in name}


def main() -> dict[str, object]:
    exact = [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}]
    told = {
        "output_type": "generate_until",
        "doc_to_text": "{{question}}",
        "doc_to_target": "{{answer}}",
        "generation_kwargs": {"until": ["\n"], "max_gen_toks": 16},
        "metric_list": exact,
    }
    rows = [{"question": "Paris", "answer": "Paris"}, {"question": "Rome", "answer": "Berlin"}]
    write_task("capitals", rows, **told)
    choice = {"doc_to_text": "Is it", "doc_to_choice": ["Paris", "Rome"], "doc_to_target": "{{answer}}"}
    write_task("choices", [{"answer": "0"}, {"answer": "1"}], output_type="multiple_choice", **choice)
    chat, text = "local-chat-completions", "local-completions"
    return {
        "chat": measure(chat, "chat/completions", "echo/small", "capitals"),
        "text": measure(text, "completions", "echo/small", "capitals", tokenizer_backend=None),
        "choices": measure(text, "completions", "scorer/raw", "choices", tokenizer=tokenizer()),
        "local": measure(chat, "chat/completions", "local/smollm2-135m", "capitals"),
    }


if __name__ == "__main__":
    with redirect_stdout(sys.stderr):
        shown = main()
    sys.stdout.write(json.dumps(shown))
