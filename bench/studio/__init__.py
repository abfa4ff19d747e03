"""What the studio's pages cost in a browser."""
