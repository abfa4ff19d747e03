"""Training of quality predictors and signal combiners with numpy; a trained router runs without it."""
