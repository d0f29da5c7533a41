"""Real models, loaded as the site loads them, but warmed up with one photo."""

from pathlib import Path
from unittest.mock import patch

from classifier.options import ModelOptions


def load(model: str | Path, *options: object, **named: object):
    """The warm model of `ModelOptions(model, *options, **named)`, in the order of its fields."""
    from classifier.models import loading

    fields = dict(zip(ModelOptions.model_fields, (str(model), *options), strict=False))
    with patch("classifier.models.model.USUAL_RUN", 1):
        return loading.load(ModelOptions(**fields, **named))
