"""Releases for edges: offered by a gateway, signed, and taken by small machines."""
