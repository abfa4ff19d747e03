"""What pages and verbs take in a home with much in it."""
