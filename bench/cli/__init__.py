"""How long the command line takes until it shows something."""
