"""Node types, one per module: its parameters and its behavior. They do not import each other."""
