"""Vector stores, one per file, each the only importer of its client library; none imports another."""
