"""`python -m classifier doctor`: one screen about this machine, for a report. Importing this loads no back end."""
