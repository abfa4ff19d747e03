"""How often the gate of an eval is wrong, on pull requests whose truth is drawn."""
