"""Predicted answer quality: features of a prompt and signals of an answer -> the chance that a model is good enough."""
