"""The door for everything but tokens, which the CLI, automation and the studio use; one room a file, each thin."""
