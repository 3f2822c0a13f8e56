"""What a cluster says, and what it lacks for a plan."""
