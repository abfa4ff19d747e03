"""Model providers: HTTP APIs, local models in worker processes, and the echo model for tests."""
