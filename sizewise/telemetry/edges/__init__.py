"""Edges: what Workers and small machines report of the requests that they answered."""
