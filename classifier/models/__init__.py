"""A name or a folder -> a warm model. Importing this loads no back end; `load` does."""

from collections.abc import Callable
from pathlib import Path

from classifier.contract import ServedModel
from classifier.models import compiled, device, folder, trial
from classifier.models.downloads import RemoteFile, obtain
from classifier.models.quick_start import import_keras
from classifier.options import ModelOptions


def load(
    options: ModelOptions, run: device.Run = trial.run, fetch: Callable[[RemoteFile], None] = obtain
) -> ServedModel:
    """Return `loading.load(options)` on the device that may answer; `run` runs the test computation.

    `fetch` brings weights that are not cached. The back end is imported only after it is clear which devices it may
    see, and never for a compiled folder. Raises StartupError.
    """
    if folder.is_compiled(Path(options.model)):
        return compiled.load(options)
    reason = device.settle(options.device, options.precision, run)
    import_keras()
    from classifier.models import loading

    return loading.load(options, reason, fetch)
