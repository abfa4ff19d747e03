"""Importers of other programs' evals: files in, eval files and items out; nothing of them is run."""
