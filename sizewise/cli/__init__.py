"""The verbs at the terminal, one a file; they know the doors of a running server, and the catalogue without one."""
