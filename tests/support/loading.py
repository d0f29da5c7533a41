"""Real models, loaded as the site loads them, but warmed up with one photo."""

from pathlib import Path
from unittest.mock import patch

from classifier.options import ModelOptions


def load(model: str | Path, *options: object, **named: object):
    """The warm model of `ModelOptions(model, *options, **named)`, in the order of its fields."""
    from classifier.models import loading
    from classifier.models import model as models

    fields = dict(zip(ModelOptions.model_fields, (str(model), *options), strict=False))
    with patch.object(models, "USUAL_RUN", 1):
        return loading.load(ModelOptions(**fields, **named))
