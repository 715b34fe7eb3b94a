"""From source files to clean rows: read, check, chunk, tokenize."""
