"""Many requests -> batches -> answers."""
