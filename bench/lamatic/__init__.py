"""How many of a folder's Lamatic flows import, check and run."""
