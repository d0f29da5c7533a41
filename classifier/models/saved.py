"""Somebody's saved model -> a network: which program wrote it, and in which of Keras' three formats."""

import json
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import h5py
import keras

from classifier.errors import StartupError
from classifier.models import saved_model, stored_weights
from classifier.models.rebuilding import Config, Unsupported, is_network, layers_of, name_of, rebuild
from classifier.models.stored_weights import Misfit, NamedWeights, NumberedWeights
from classifier.text import printable

Weights = NamedWeights | NumberedWeights

HDF5, ZIP, TFLITE, TFLITE_AT = b"\x89HDF\r\n\x1a\n", b"PK\x03\x04", b"TFL3", 4
AGAIN = "save it again with model.save('model.keras') where it was made"
HELP = "please replace that layer with a layer of Keras where the model was made, and save it again as .keras"
EXPECTED = "expected a whole saved model of Keras, .keras or .h5, or a SavedModel folder of Keras 2"


class Saved(NamedTuple):
    """A network and the configuration that its author's program saved."""

    network: keras.Model
    config: Config


def read(source: Path) -> Saved:
    """Read a whole saved model, by its content and not by its name. It may not run code of its own.

    Raises StartupError: one sentence with the writer, the layer and the way out.
    """
    if source.is_dir():
        return from_folder(source)
    if not source.is_file():
        raise StartupError(f"The model {source} is not a file; {EXPECTED}.")
    with source.open("rb") as file:
        start = file.read(len(HDF5))
    if start == HDF5:
        return from_h5(source)
    if start.startswith(ZIP):
        return from_zip(source)
    if start[TFLITE_AT:] == TFLITE:
        raise unreadable(source, "a TensorFlow Lite model, made for phones", "export the Keras model it was made from")
    raise unreadable(source, "another or a damaged file", AGAIN)


@contextmanager
def damaged(source: Path, kind: str) -> Iterator[None]:
    """Turn any error into a StartupError that calls the file damaged, but for those that give a better reason."""
    try:
        yield
    except StartupError:
        raise
    except ImportError as exc:
        raise unreadable(source, f"a {kind}, which needs TensorFlow to be read", "install TensorFlow") from exc
    except Exception as exc:  # HDF5, zip, JSON and Keras raise errors of many kinds, depending on the damage
        raise unreadable(source, f"a damaged {kind}", AGAIN) from exc


def from_h5(source: Path) -> Saved:
    """Read an `.h5` file of Keras 2 or 3. Raises StartupError."""
    with damaged(source, "HDF5 file"), h5py.File(source) as file:
        if "model_config" not in file.attrs:
            raise unreadable(source, "a file of weights without the layers", AGAIN)
        if str(file.attrs.get("backend")) == "theano":
            raise unreadable(source, "a model of Theano, whose kernels are mirrored", "convert it to TensorFlow first")
        config = json.loads(file.attrs["model_config"])
        writer = version(file.attrs.get("keras_version"))
        return Saved(rebuilt(source, config, writer, lambda: stored_weights.of_h5(file)), config)


def from_zip(source: Path) -> Saved:
    """Read a `.keras` file. Raises StartupError."""
    with damaged(source, ".keras file"), zipfile.ZipFile(source) as archive:
        if "config.json" not in archive.namelist():
            raise unreadable(source, *contents(archive))
        config = json.loads(archive.read("config.json"))
        writer = version(json.loads(archive.read("metadata.json"))["keras_version"])
        if not is_keras_2(writer):
            return Saved(from_keras_3(source, config, writer), config)
        with h5py.File(BytesIO(archive.read("model.weights.h5"))) as file:
            return Saved(rebuilt(source, config, writer, lambda: NumberedWeights(config, file)), config)


def contents(archive: zipfile.ZipFile) -> tuple[str, str]:
    """Describe an archive that is no `.keras` file, and the way out."""
    names = archive.namelist()
    if any(name.endswith("data.pkl") for name in names):
        return "a PyTorch model", "export it with torch.onnx.export, and import that file"
    inner = next((name for name in names if name.endswith((".h5", ".keras"))), None)
    if inner:
        return f"an archive with {inner} in it, which must be unpacked first", AGAIN
    return "an archive of something else", AGAIN


def from_keras_3(source: Path, config: Config, writer: str) -> keras.Model:
    """Let Keras load its own format, in safe mode. Raises StartupError."""
    try:
        with TemporaryDirectory() as folder:  # Keras goes by the name
            link = Path(folder, "model.keras")
            link.symlink_to(source.resolve())
            return keras.saving.load_model(link, compile=False, safe_mode=True)
    except Exception as exc:  # Keras raises ValueError, TypeError, KeyError, OSError, ... by format and fault
        name, kind = culprit(config) or ("", "")
        if kind == "Lambda" or "safe_mode" in str(exc):
            raise code(source, writer, name) from exc
        if name:
            raise unimportable(source, writer, name, kind, f"is not known to Keras {keras.__version__}") from exc
        raise unreadable(source, f"a file of {writer} that Keras {keras.__version__} cannot load", AGAIN) from exc


def culprit(config: Config) -> tuple[str, str] | None:
    """Return the name and the kind of the first layer that Keras cannot build."""
    if is_network(config):
        return next(filter(None, map(culprit, layers_of(config))), None)
    try:
        keras.saving.deserialize_keras_object(config, safe_mode=True)
    except Exception:  # whatever Keras or the layer raises
        return name_of(config), str(config["class_name"])
    return None


def from_folder(source: Path) -> Saved:
    """Read a SavedModel folder that Keras 2 wrote: its layers and weights, not its TensorFlow graph.

    A graph may read and write files, so only what Keras wrote beside it is used. Raises StartupError.
    """
    if not (source / "saved_model.pb").is_file():
        raise StartupError(f"The folder {source} holds no SavedModel; {EXPECTED}.")
    with damaged(source, "SavedModel folder"):
        config, writer = saved_model.read_config(source)
        if config is None:
            raise unreadable(source, "a SavedModel without the layers of Keras 2, which TensorFlow exports", AGAIN)
        weights = partial(stored_weights.of_checkpoint, config, source / "variables" / "variables")
        return Saved(rebuilt(source, config, version(writer), weights), config)


def rebuilt(source: Path, config: Config, writer: str, weights: Callable[[], Weights]) -> keras.Model:
    """Build the layers of a configuration and fill them. Raises StartupError, and others if the file is damaged."""
    try:
        network, layers = rebuild(config, is_keras_2(writer))
        weights().fill(layers)
        return network
    except Unsupported as exc:
        if exc.holds_code:
            raise code(source, writer, exc.layer) from exc
        raise unimportable(source, writer, exc.layer, exc.kind, exc.reason) from exc
    except Misfit as exc:
        raise StartupError(
            f"The model {source} (written by {writer}) cannot be imported: its layer {exc.layer!r} {exc.reason}; "
            f"please {AGAIN}."
        ) from exc


def is_keras_2(writer: str) -> bool:
    """Return True unless Keras 3 wrote a file; Keras 2 as the package `tf_keras` has the version of TensorFlow, 2."""
    return not writer.startswith("Keras 3.")


def version(stored: Any) -> str:
    """Return the writer of a file for a sentence: "Keras 2.4.0"."""
    text = stored.decode() if isinstance(stored, bytes) else str(stored or "of an unknown version")
    return f"Keras {printable(text)[:20]}"


def code(source: Path, writer: str, layer: str) -> StartupError:
    where = f", in its layer {layer!r}" if layer else ""
    return StartupError(
        f"The model {source} (written by {writer}) is refused: it holds Python code of its own, such as a Lambda "
        f"layer{where}; {HELP}."
    )


def unimportable(source: Path, writer: str, layer: str, kind: str, reason: str) -> StartupError:
    return StartupError(
        f"The model {source} (written by {writer}) cannot be imported: its layer {printable(layer)[:80]!r} "
        f"({printable(kind)[:80]}) {reason}; {HELP}."
    )


def unreadable(source: Path, found: str, way_out: str) -> StartupError:
    return StartupError(f"The model {source} cannot be imported: {EXPECTED}, found {found}; please {way_out}.")
