"""A folder of photos per class: read, checked, split, drawn."""
