"""Must a corpus be embedded again? Two vectors tables of it, measured against each other."""
