"""How long it takes to refuse a key, however much of it is right: by the look-up itself, without a network.

`python -m bench.key_lookup`. A key is looked up by the digest of all of it, so how much is right cannot tell; this
shows it.
"""

from __future__ import annotations

import statistics
import sys
from time import perf_counter_ns

from sizewise.auth.authenticator import Authenticator, generate_key
from sizewise.errors import InvalidApiKey

ROUNDS = 20_000
RIGHT = (0, 8, 16, 32, 50)
"""Characters at the beginning that are right."""


def main() -> int:
    made = [generate_key() for _ in range(1_000)]
    keys, text = Authenticator(), made[500][1]
    keys.load(1, [key for key, _ in made])
    times: dict[int, list[int]] = {right: [] for right in RIGHT}
    for _ in range(ROUNDS):
        for right in RIGHT:
            wrong = text[:right] + "~" * (len(text) - right)
            began = perf_counter_ns()
            try:
                keys.authenticate(wrong)
            except InvalidApiKey:
                times[right].append(perf_counter_ns() - began)
    for right, taken in times.items():
        low, middle, high = statistics.quantiles(taken, n=4)
        sys.stdout.write(
            f"{right:3} characters right: {middle / 1000:.3f} us (quartiles {low / 1000:.3f}-{high / 1000:.3f})\n",
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
