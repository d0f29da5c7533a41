"""A folder of photos per class -> a model folder.

`train` is the whole story. `options` lists what can be chosen, `recipes` holds every network, `fit` the training loop,
`transfer` the recipe with a pretrained backbone; `record` fills the model folder. Serving imports none of this.
"""
