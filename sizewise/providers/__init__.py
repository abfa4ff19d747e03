"""Rooms from which models are asked: over a network, in a worker of ours, or the echo that ships for tests."""
