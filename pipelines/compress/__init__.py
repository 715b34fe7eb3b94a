"""How few bytes do? Every scheme on a user's own vectors table, measured against its floats."""
