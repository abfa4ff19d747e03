"""Eval runs: a target answers the items of a data set, scorers score the answers, and two runs are compared."""
