"""Search over committed vectors: exact top-k, rescoring, and how good a ranking is."""
