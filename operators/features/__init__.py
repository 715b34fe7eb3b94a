"""Vectors of metadata columns."""
