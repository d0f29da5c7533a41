"""Real models, loaded as the site loads them, but not warmed up."""

from pathlib import Path

from classifier.options import ModelOptions


def load(model: str | Path, *options: object, **named: object):
    """The model of `ModelOptions(model, *options, **named)`, in the order of its fields."""
    from classifier.models import loading

    fields = dict(zip(ModelOptions.model_fields, (str(model), *options), strict=False))
    return loading.load(ModelOptions(**fields, **named), warm=False)
