"""Benchmarks: each is a command that runs corpusmill and a peer in turn on the same input."""
