"""Bytes from strangers -> pixels: headers and limits first, then decoding and fitting; listing and reading of files.

`decode.read` is the way in for one photo, `files` for folders of them. Nothing here knows a model.
"""
