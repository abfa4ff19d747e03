"""A loop with tools: a model asks for calls, gets their results and goes on, within limits; remembers what it may."""
