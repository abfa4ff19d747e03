"""Is it good enough? Outcomes of models on prompts, and what policies would have made of them."""
