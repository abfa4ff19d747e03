"""Data sets of evals: sampled from traffic with known probabilities, and split by cluster."""
