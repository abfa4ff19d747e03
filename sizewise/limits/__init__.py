"""Rate limits and budgets by scope: reserved before every attempt, settled by its actual cost."""
