"""Environment variables for the processes that tests start."""

from web.settings import ROOT

PYTHONPATH = {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}  # finds the source and the tests' own modules
