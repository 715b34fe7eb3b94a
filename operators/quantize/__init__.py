"""Codes instead of floats: one scheme a file, each stored with what decodes it."""
