"""A folder of photos per class."""
