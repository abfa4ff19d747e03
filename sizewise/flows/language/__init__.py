"""The flow language: YAML source, specification, expressions, types and diagnostics; runs nothing."""
