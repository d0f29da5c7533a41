"""Results, kept for a while."""
