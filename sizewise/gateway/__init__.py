"""The door for tokens: HTTP in front of any Answerer."""
