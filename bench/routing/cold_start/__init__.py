"""Cold start: what `auto` is worth before any calibration, on questions of our own, and how its prior is made."""
