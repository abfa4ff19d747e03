"""What is kept of a conversation between two requests, for clients that ask us to remember it."""
