"""A name or a folder -> a model. Importing this loads no back end; `load` does."""

import logging
from collections.abc import Callable
from pathlib import Path

from classifier.contract import ServedModel
from classifier.errors import Unproven
from classifier.models import compiled, compiled_trial, device, folder, substitute, trial
from classifier.models.downloads import RemoteFile, obtain
from classifier.models.quick_start import import_keras
from classifier.options import ModelOptions

log = logging.getLogger(__name__)


def load(
    options: ModelOptions,
    run: device.Run = trial.run,
    fetch: Callable[[RemoteFile], None] = obtain,
    attempt: compiled_trial.Attempt = compiled_trial.attempt,
    warm: bool = True,
) -> ServedModel:
    """Return a compiled folder's model, or `loading.load(options)` on the device that may answer.

    `run` runs the test computation, `fetch` brings weights that are not cached, and `attempt` is the first run of a
    compiled folder. The back end is imported only after it is clear which devices it may see, and not for a compiled
    folder. If OpenVINO crashes with that, the model it was compiled from takes its place. `warm` is as in
    `loading.load`. Raises StartupError.
    """
    reason = ""
    if folder.is_compiled(Path(options.model)):
        try:
            compiled_trial.settle(Path(options.model), attempt)
            return compiled.load(options)
        except Unproven as error:
            options, reason = substitute.find(options, error)
            log.warning("%s", reason)
    if folder.is_folder(options.model):
        folder.read_card(Path(options.model))  # a folder that is not there needs no back end to be refused
    device_reason = device.settle(options.device, options.precision, run)
    import_keras()
    from classifier.models import loading

    return loading.load(options, reason or device_reason, fetch, warm)
