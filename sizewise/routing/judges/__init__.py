"""Ways to say how far a reply can be trusted, one judge a file; each is pure, asks no model, knows no neighbour."""
