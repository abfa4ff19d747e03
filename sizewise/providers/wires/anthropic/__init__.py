"""The Anthropic Messages API: client requests in, upstream requests out, responses and streams both ways."""
