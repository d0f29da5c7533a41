"""Many requests -> batches -> answers, in this process: admission, batching, and the engine around one model."""
