"""How well the guards find, on sets that they were not written from, and what they find in ordinary traffic."""
