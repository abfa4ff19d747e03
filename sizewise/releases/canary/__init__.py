"""Canaries: a new release answers a share of sessions until its evidence promotes it or rolls it back."""
