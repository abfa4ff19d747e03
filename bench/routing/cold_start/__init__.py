"""Cold start: what `auto` is worth before any calibration, on questions of our own."""
