"""The HTTP face: pages/ for people, api/ for programs, ops/ for operators. Knows Flask, never Keras."""
