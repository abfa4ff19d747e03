"""What `sizewise scan` finds of poisons that were put into a real corpus, and what it takes for some."""
