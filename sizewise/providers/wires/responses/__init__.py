"""The OpenAI Responses API: client requests in, upstream requests out, responses and streams both ways."""
