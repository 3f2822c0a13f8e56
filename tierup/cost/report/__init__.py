"""A cost as data with a schema, and as rows of tables."""
