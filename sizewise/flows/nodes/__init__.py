"""The kinds of nodes, one a file: its parameters and what it does; they do not know each other."""
