"""The engine of the site: encoded photos in, named classes out. It never imports Flask or `web`.

From the ground up: `contract`, `options`, `errors`, `text`, `atomic` and `progress` are the vocabulary that all share.
`photos` turns bytes from strangers into pixels, `models` a name or a folder into a model, and `serving` many
requests into batches and answers; `cluster` does the same on other machines. `storage` keeps results for a while.
`prediction` answers files from the command line. `dataset`, `evaluation` and `training` make models of your own.
Importing this package loads no TensorFlow.
"""

import os

from classifier import installed

# TensorFlow reads this when it is first imported, so it is set before any module here can do that.
# Warnings and errors only, as far as TensorFlow allows: its start-up messages hide ours.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("KERAS_BACKEND", installed.backend())  # Keras reads it when it is first imported
