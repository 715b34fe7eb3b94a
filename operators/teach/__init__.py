"""Pairs of query and document, and what models that read both think of them."""
