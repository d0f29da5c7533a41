"""The model that a compiled folder was made from, which answers where OpenVINO crashes."""

from pathlib import Path

from classifier.errors import StartupError, Unproven
from classifier.models import compiled, folder, labels
from classifier.models.folder import Compilation, ModelCard
from classifier.options import ModelOptions


def find(options: ModelOptions, error: Unproven) -> tuple[ModelOptions, str]:
    """Return the options of that model in float32, and why it answers in place of the folder that `options` name.

    `error` ends a sentence about a process that ran the folder. Raises StartupError if the model is not there.
    """
    path = Path(options.model)
    card, compilation = compiled.read_card(path)
    crash = f"OpenVINO cannot run {path.name} on this processor, where a process that tried {error}"
    source = source_of(path, card, compilation)
    if source is None:
        raise StartupError(
            f"{crash}; {compilation.source}, from which it was compiled, is not here to answer instead, so please "
            "serve another model or use another machine."
        ) from error
    changes = {"model": source, "weights": compilation.weights, "resize": card.resize, "precision": "float32"}
    return options.model_copy(update=changes), f"{crash}; {compilation.source} answers in float32 instead."


def source_of(path: Path, card: ModelCard, compilation: Compilation) -> str | None:
    """Return the name of the model that was compiled, or the path of its folder beside `path`; None if it is gone."""
    if compilation.weights == folder.OWN:
        beside = path.resolve().parent / compilation.source
        return str(beside) if (beside / folder.NETWORK).is_file() else None
    is_known = compilation.weights in ("imagenet", "random") and card.class_labels == labels.imagenet()
    return compilation.source if is_known else None
