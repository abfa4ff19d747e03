"""Judges: each scores how far a reply can be trusted. Pure functions that do not know each other."""
