"""Untrusted bytes -> what a model looks at."""
