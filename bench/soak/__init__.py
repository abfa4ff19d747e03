"""Many streams and many requests for long enough to see what grows, what gets lost, and how long the last one waits."""
