"""Measure a model on photos it was not trained on: metrics, a summary for the terminal, a report with pictures."""
