"""`PYTHON shad0w_learner.py < stream.json`: learns `learned` with shad0wllm's defaults and answers `tested`; JSON out.

It runs in an environment that has shad0wllm[compile] and nothing of Sizewise's. Pairs are [text, answer].
"""

import json
import logging
import statistics
import sys
import tempfile
import time

import shad0w
from shad0w.shadow import shadow_compile

logging.disable(logging.WARNING)


def main():
    stream = json.load(sys.stdin)
    schema = {"intent": {"type": "choice", "criteria": {name: name for name in stream["options"]}}}
    records = [{"text": text, "intent": answer} for text, answer in stream["learned"]]
    began, processor = time.perf_counter(), time.process_time()
    model, certificate = shadow_compile(schema, records, alpha=stream["alpha"], delta=stream["delta"])
    took = {"seconds": time.perf_counter() - began, "processor_seconds": time.process_time() - processor}
    with tempfile.TemporaryDirectory() as folder:  # saved and loaded: its C core answers a loaded table alone
        model.save(folder)
        loaded = shad0w.load(folder)
        answers, microseconds = [], []
        for text, _ in stream["tested"]:
            asked = time.perf_counter()
            answer = loaded.decide(text, probabilities=False)["answers"]["intent"]
            microseconds.append((time.perf_counter() - asked) * 1e6)
            answers.append([answer["choice"], answer["certified"], answer["confidence"], answer["flag"]])
        is_native = loaded.native
    question = certificate["questions"]["intent"]
    print(
        json.dumps(
            {
                **took,
                "answers": answers,
                "microseconds": statistics.median(microseconds),
                "native": is_native,
                "student": question["student"],
                "threshold": question["threshold"],
            }
        )
    )


if __name__ == "__main__":
    main()
