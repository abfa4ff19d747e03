"""Conformance suites and fake upstreams for authors of plugins and clients."""
