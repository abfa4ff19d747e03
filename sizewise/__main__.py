"""`python -m sizewise`: the command line, as `sizewise`."""

from __future__ import annotations

from sizewise.cli.main import main

if __name__ == "__main__":
    main()
