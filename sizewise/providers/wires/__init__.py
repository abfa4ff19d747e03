"""How vendors spell requests and replies: pure functions from bytes to our words and back."""
