"""`python -m classifier compile`: a model -> a compiled folder. Importing this loads neither TensorFlow nor NNCF."""
