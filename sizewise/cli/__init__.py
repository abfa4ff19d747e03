"""The command-line interface, one file per command; it calls a running server or reads the packaged catalog."""
