"""Audit log: who changed what, before and after, as one hash chain per organization."""
