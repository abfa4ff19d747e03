"""The versions of flows that were brought, and which of them is live in a project."""
