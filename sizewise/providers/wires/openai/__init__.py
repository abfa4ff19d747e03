"""The OpenAI Chat Completions and Embeddings APIs: requests, responses and streams both ways."""
