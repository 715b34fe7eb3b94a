"""Passages' vectors to one row a document."""
