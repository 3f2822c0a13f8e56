"""What is to be priced, read from a plan of ours or from Pulumi's."""
