"""Prompts by id: files with typed variables, rendered into the messages of a request."""
