"""Data keys, one per tenant, and the key management services that wrap them."""
