"""Whether a cluster is ready for a stack: `examine` reads it, `probe` tries it with pods of its own."""
