"""Text analysis that judges and predictors share: final answers, code blocks, languages, similarity; pure."""
