"""Everything that touches files and object stores; nothing else imports fsspec or deltalake."""
