"""A page about a version of a table: how it came about, what is in it, what to do next."""
