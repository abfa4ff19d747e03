"""Ways to choose who answers, one policy a file; a policy yields moves, does no I/O and knows no neighbour."""
