"""Certification of a decision with the model that was tuned for it, which is asked about all kept inputs before."""

from __future__ import annotations

from sizewise.cli import operations
from sizewise.cli.api_client import ApiClient
from sizewise.cli.progress import progress_bar


async def certify_with_tuned(client: ApiClient, id: str) -> operations.Decision:
    """The server asks some inputs at a time, and keeps what was said: it can be stopped. Raises SizewiseError."""
    asked = 0
    with progress_bar("asking the tuned model", "kept inputs") as shown:
        while True:
            done = await operations.measure_decision(client, id=id)
            asked += done.asked
            shown(asked, asked + done.left)
            if not done.left:
                break
    return await operations.certify_decision(client, id=id)
