"""Token ids to vectors: one loop for every encoder and decoder."""
