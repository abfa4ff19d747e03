"""Model catalog: known models with sourced facts, local model discovery and weight downloads."""
