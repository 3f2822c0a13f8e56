"""Read Pulumi's configuration, plans and previews."""
