"""Which models exist, with every fact's source, and how a small one's weights come to this machine."""
