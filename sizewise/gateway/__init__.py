"""HTTP API in front of any handler."""
