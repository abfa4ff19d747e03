"""Puts GraphiQL's own built files, unchanged but for gzip, where the package serves them from; fetches nothing."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path

HERE = Path(__file__).parent
MODULES = HERE / "node_modules"
SERVED = HERE.parents[1] / "sizewise" / "graphql" / "graphiql"
FILES = (
    ("graphiql", "graphiql.min.js"),
    ("graphiql", "graphiql.min.css"),
    ("react", "umd/react.production.min.js"),
    ("react-dom", "umd/react-dom.production.min.js"),
)


def main() -> None:
    rows = []
    for package, path in FILES:
        data = (MODULES / package / path).read_bytes()
        version = json.loads((MODULES / package / "package.json").read_text())["version"]
        name = path.rpartition("/")[2]
        (SERVED / f"{name}.gz").write_bytes(gzip.compress(data, 9, mtime=0))
        rows.append(f"{hashlib.sha256(data).hexdigest()}  {name}  {package} {version}")
    (SERVED / "SHA256SUMS").write_text("\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
