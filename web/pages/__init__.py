"""For people, and curl."""
