"""`tierup dev`: one tier's gateway, CPU engines and Prometheus as local processes."""
