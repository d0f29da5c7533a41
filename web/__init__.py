"""The HTTP side: pages/ for people, api/ for programs, ops/ for operators. It uses Flask and never Keras."""

from importlib.metadata import version

TITLE = "What is in this photo?"
RELEASE = version("image-classifier-site")
