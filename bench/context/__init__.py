"""Long texts and conversations against a context window of 8,192 tokens."""
