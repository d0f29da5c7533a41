"""A folder of photos per class -> a model folder that serves: `python -m classifier check | train | evaluate`.

`dataset` reads photos as serving does, `split` divides them, `recipes` and `backbone` are networks, `fit` the loop
around them, `transfer` the recipe with a pretrained backbone, `train` the whole story. `scoring` measures, `plots` and
`report` show, `record` writes it all down. `check` and `sheet` look at data first, `demo` draws some. None of this is
imported by serving.
"""
