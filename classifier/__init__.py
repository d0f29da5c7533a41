"""The engine of the site: encoded photos in, named classes out. It never imports Flask.

`images` turns untrusted bytes into pixels, `model` names or loads a Keras model, `backend` is the only
file that knows TensorFlow from JAX and PyTorch, `engine` puts the three together, `uploads` keeps what
was answered for a while, `errors` is what can go wrong; `training` makes models of one's own. Importing
this package loads no TensorFlow.
"""

import os

# Read when TensorFlow is first imported, so set before any module here can do that.
# Warnings and worse only, where TensorFlow lets us: its start-up chatter hides our own lines.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
