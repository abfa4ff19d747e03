"""Response cache, idempotency keys and stored responses."""
