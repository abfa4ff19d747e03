"""Small or large model for this work, and why: pure judgement over the facts of the catalogue; asks nobody."""
