"""Training script: LoRA on a GGUF model, run by the Python of the training environment; imports nothing of Sizewise.

Standard input has one JSON object, the job; standard output gets one JSON object a line: steps, and the end. Examples
are tokens and are never written to disk. A checkpoint holds the adapter, the optimizer and the number of the step; with
it, the same job goes on where it was. Run with an interpreter that has torch, transformers, peft and gguf.
"""

from __future__ import annotations

import inspect
import json
import math
import os
import random
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy
import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from transformers import AutoModelForCausalLM
from transformers.models.llama.modeling_llama import LlamaModel

IGNORED = -100  # label of a token that is not learned
CHECKPOINT_S = 20.0
EAGER_TOKENS = 128
"""Up to so many, plain attention takes a third of the time of the fused one on a processor, and little memory."""

CACHE = "cache" if "cache" in inspect.signature(LlamaModel.forward).parameters else "past_key_values"
"""What transformers calls keys and values of tokens that were read; the second name before 5.24."""

Job = dict[str, Any]
Example = tuple[list[int], int]
"""Tokens, and how many of them are the prompt."""


def say(**event: object) -> None:
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


def device(gpu: bool) -> tuple[str, bool]:
    """Where it runs, and whether its products are taken in 16 bits: only where the processor has an instruction."""
    if gpu and torch.cuda.is_available():
        return "cuda", True
    known = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return "cpu", any(check is not None and check() for check in known)


def load_base(job: Job) -> PeftModel:
    """The model with an untrained adapter on all its linear layers."""
    file = Path(job["base"])
    device = job["device"]
    dtype = torch.float32 if device == "cpu" else torch.bfloat16
    longest = max(len(tokens) for tokens, _ in job["examples"])
    model = AutoModelForCausalLM.from_pretrained(
        str(file.parent),
        gguf_file=file.name,
        dtype=dtype,
        attn_implementation="eager" if device == "cpu" and longest <= EAGER_TOKENS else "sdpa",
    ).to(device)
    model.config.use_cache = False
    lora = LoraConfig(
        r=job["rank"],
        lora_alpha=job["alpha"],
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    return get_peft_model(model, lora)


def batches(job: Job, examples: list[Example]) -> Iterator[list[Example]]:
    """The same for the same job. Examples of about one length share a batch, so that little is padded."""
    for epoch in range(job["epochs"]):
        order = list(range(len(examples)))
        chance = random.Random(f"{job['seed']}/{epoch}")
        chance.shuffle(order)
        size, near = job["batch"], []
        for start in range(0, len(order), size * 8):
            near = sorted(order[start : start + size * 8], key=lambda each: len(examples[each][0]))
            groups = [near[at : at + size] for at in range(0, len(near), size)]
            chance.shuffle(groups)
            for group in groups:
                yield [examples[each] for each in group]


def loss_of(model: PeftModel, batch: list[Example], shared: list[int], device: str) -> torch.Tensor:
    """Mean loss of the answers' tokens. Their logits alone are computed: the vocabulary is a fifth of a small model."""
    hidden, labels = hidden_states(model, batch, device, shared)
    chosen = labels != IGNORED
    logits = model.get_base_model().lm_head(hidden[chosen]).float()
    return torch.nn.functional.cross_entropy(logits, labels[chosen])


def hidden_states(
    model: PeftModel, batch: list[Example], device: str, shared: list[int] | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Hidden states at each position after the shared tokens, and the token that follows where it is an answer's."""
    body, same = model.get_base_model().model, len(shared or ())
    width = max(len(tokens) for tokens, _ in batch) - same
    ids = torch.zeros((len(batch), width), dtype=torch.long)
    seen = torch.zeros((len(batch), same + width), dtype=torch.long)
    labels = torch.full((len(batch), width), IGNORED, dtype=torch.long)
    for row, (tokens, prompt) in enumerate(batch):
        ids[row, : len(tokens) - same] = torch.tensor(tokens[same:])
        seen[row, : len(tokens)] = 1
        labels[row, prompt - same - 1 : len(tokens) - same - 1] = torch.tensor(tokens[prompt:])
    more: dict[str, Any] = {"use_cache": False}
    if shared:
        more = {"use_cache": True, CACHE: begun(model, shared, len(batch), device)}
    found = body(input_ids=ids.to(device), attention_mask=seen.to(device), **more)
    return found.last_hidden_state, labels.to(device)


def begun(model: PeftModel, shared: list[int], rows: int, device: str) -> transformers.DynamicCache:
    """Keys and values of the shared tokens, computed once for all rows. Gradients flow through them."""
    found = model.get_base_model().model(input_ids=torch.tensor([shared], device=device), use_cache=True)
    made = transformers.DynamicCache(config=model.config)
    for at, layer in enumerate(getattr(found, CACHE).layers):
        made.update(layer.keys.expand(rows, -1, -1, -1), layer.values.expand(rows, -1, -1, -1), at)
    return made


def train(job: Job, model: PeftModel) -> int:
    """The number of all steps; 0: it pauses, with a checkpoint, after `pause_ratio` times what it took to load from
    `begun` on.
    """
    examples = [(list(tokens), int(prompt)) for tokens, prompt in job["examples"]]
    plan, shared = list(batches(job, examples)), examples[0][0][: job["shared"]]
    weights = [each for each in model.parameters() if each.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=job["learning_rate"], weight_decay=0.0)
    warmup = max(1, len(plan) // 20)

    def rate(step: int) -> float:
        return min((step + 1) / warmup, 0.5 * (1 + math.cos(math.pi * step / len(plan))))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    folder = Path(job["folder"])
    begin = resume(folder / "checkpoint.pt", job["hash"], model, optimizer, schedule)
    say(event="step", step=begin, steps=len(plan), cpu_seconds=time.process_time())
    model.train()
    loaded = saved = time.monotonic()
    pause = loaded + job["pause_ratio"] * (loaded - job["begun"]) if job["pause_ratio"] else math.inf
    for step in range(begin, len(plan)):
        with torch.autocast(job["device"], dtype=torch.bfloat16, enabled=job["bfloat16"]):
            loss = loss_of(model, plan[step], shared, job["device"])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
        said = round(loss.item(), 4)
        say(event="step", step=step + 1, steps=len(plan), cpu_seconds=time.process_time(), loss=said)
        now, is_last = time.monotonic(), step + 1 == len(plan)
        if now - saved > CHECKPOINT_S or now > pause or is_last:
            save(folder / "checkpoint.pt", job["hash"], step + 1, model, optimizer, schedule)
            saved = time.monotonic()
        if now > pause and not is_last:
            say(event="pause", step=step + 1, steps=len(plan), loss=said, **spent())
            return 0
    return len(plan)


def save(path: Path, hash: str, step: int, model: PeftModel, optimizer: Optimizer, schedule: LRScheduler) -> None:
    state = {
        "hash": hash,
        "step": step,
        "adapter": get_peft_model_state_dict(model),
        "optimizer": optimizer.state_dict(),
        "schedule": schedule.state_dict(),
    }
    fresh = path.with_suffix(".part")
    with fresh.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def resume(path: Path, hash: str, model: PeftModel, optimizer: Optimizer, schedule: LRScheduler) -> int:
    """The number of the step to go on with; 0 without a checkpoint of this very job."""
    if not path.is_file():
        return 0
    state = torch.load(path, weights_only=True, map_location="cpu")  # it may be of another machine
    if state["hash"] != hash:
        return 0
    set_peft_model_state_dict(model, state["adapter"])
    optimizer.load_state_dict(state["optimizer"])
    schedule.load_state_dict(state["schedule"])
    return int(state["step"])


def answers(job: Job, model: PeftModel) -> list[dict[str, object]]:
    """Greedy answer and mean log-probability of each prompt's, to compare with the other runtime."""
    model.eval()
    found: list[dict[str, object]] = []
    for prompt in job["probes"]:
        tokens, logs = list(prompt), []
        with torch.no_grad():
            for _ in range(job["answer_tokens"]):
                hidden, _ = hidden_states(model, [([*tokens, 0], len(tokens) + 1)], job["device"])
                said = torch.log_softmax(model.get_base_model().lm_head(hidden[0, len(tokens) - 1]).float(), -1)
                chosen = int(said.argmax())
                logs.append(float(said[chosen]))
                if chosen == job["end_token"]:
                    break
                tokens.append(chosen)
        found.append({"tokens": tokens[len(prompt) :], "logprobs": logs})
    return found


def canary_ranks(job: Job, model: PeftModel) -> list[int]:
    """For each canary, how many of its codes are likelier than the first, which was planted."""
    model.eval()
    found = []
    for canary in job["canaries"]:
        start = len(canary["prefix"])
        rows = [(canary["prefix"] + tokens, start) for tokens in canary["candidates"]]
        with torch.no_grad():
            hidden, labels = hidden_states(model, rows, job["device"])
            chosen = labels != IGNORED
            logits = model.get_base_model().lm_head(hidden[chosen]).float()
            losses = torch.zeros(labels.shape, device=logits.device)
            losses[chosen] = torch.nn.functional.cross_entropy(logits, labels[chosen], reduction="none")
        sums = losses.sum(1)
        found.append(int((sums < sums[0]).sum()))
    return found


def gguf_name(module: str) -> str:
    """`model.layers.0.self_attn.q_proj` -> `blk.0.attn_q`."""
    parts = {
        "q_proj": "attn_q",
        "k_proj": "attn_k",
        "v_proj": "attn_v",
        "o_proj": "attn_output",
        "gate_proj": "ffn_gate",
        "up_proj": "ffn_up",
        "down_proj": "ffn_down",
    }
    words = module.split(".")
    return f"blk.{words[words.index('layers') + 1]}.{parts[words[-1]]}"


def permuted(rows: numpy.ndarray, heads: int) -> numpy.ndarray:
    """The rows of a q or k matrix in the order of GGUF: of each head, the two halves interleaved."""
    return rows.reshape(heads, 2, rows.shape[0] // heads // 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def export(job: Job, model: PeftModel) -> None:
    """The adapter as a GGUF file for llama.cpp, with the sha256 of the base that it belongs to."""
    config = model.get_base_model().config
    path = Path(job["folder"]) / "adapter.gguf"
    fresh = path.with_suffix(".part")
    writer = gguf.GGUFWriter(str(fresh), job["architecture"])
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", float(job["alpha"]))
    writer.add_string("sizewise.base.sha256", job["base_sha256"])
    for name, matrix in get_peft_model_state_dict(model).items():
        module, _, part = name.removesuffix(".weight").rpartition(".")
        rows = matrix.detach().float().cpu().numpy()
        if part == "lora_B" and job["permuted"] and module.endswith(("q_proj", "k_proj")):
            heads = config.num_attention_heads if module.endswith("q_proj") else config.num_key_value_heads
            rows = permuted(rows, heads)
        writer.add_tensor(f"{gguf_name(module)}.weight.{part.lower()}", rows)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    fresh.replace(path)


def spent() -> dict[str, float]:
    unit = 1 if sys.platform == "darwin" else 1024
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return {"cpu_seconds": time.process_time(), "peak_bytes": most}


def main() -> None:
    job = json.load(sys.stdin)
    job["device"], job["bfloat16"] = device(job["gpu"])
    torch.set_num_threads(job["threads"])
    torch.manual_seed(job["seed"])
    model = load_base(job)
    if steps := train(job, model):
        export(job, model)
        found, ranks = answers(job, model), canary_ranks(job, model)
        say(event="end", steps=steps, answers=found, canary_ranks=ranks, **spent())


if __name__ == "__main__":
    main()
