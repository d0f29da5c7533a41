"""python -m classifier: every command with its options, one after the other.

A command imports what loads TensorFlow or scikit-learn when it runs, so that help appears at once.
"""

import json
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Literal, TypeVar, get_args

import click
from click.core import ParameterSource
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from classifier.contract import Resize
from classifier.dataset.options import DEFAULTS, DataOptions
from classifier.errors import ClassifierError, DataError
from classifier.models.folder import CompiledPrecision
from classifier.models.quick_start import import_keras, require_backend
from classifier.options import (
    ENV_PREFIX,
    UPLOADS,
    Device,
    Limits,
    ModelOptions,
    Precision,
    choices,
    expected,
    shown_default,
)
from classifier.training.options import Options

FAILED, INTERRUPTED = 1, 130
NEEDS_EXTRA = "this needs the extra `train`: .venv/bin/pip install -c constraints.txt -e '.[train]'"
NO_HURRY_S = 3600  # the deadline of an answer on the command line

Model = TypeVar("Model", bound=BaseModel)
Command = Callable[..., Any]
PATH = click.Path(path_type=Path)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0, 1 if it failed or found failures, 2 for a wrong call."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        return int(commands.main(arguments, prog_name="python -m classifier", standalone_mode=False))
    except click.ClickException as error:
        error.show()
        return error.exit_code


class Commands(click.Group):
    """The commands; an error of one of them becomes a sentence on stderr and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)  # in the order of this file

    def invoke(self, ctx: click.Context) -> int:
        try:
            return int(super().invoke(ctx))
        except BrokenPipeError:  # by `| head`, for example; the rest of the output is discarded
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return FAILED
        except ClassifierError as error:
            return failed(ctx, str(error))
        except OSError as error:
            return failed(ctx, f"{error.filename or 'a file'}: {error.strerror}.")
        except ModuleNotFoundError as error:
            if str(error.name).partition(".")[0] not in ("sklearn", "matplotlib"):
                raise
            return failed(ctx, NEEDS_EXTRA)
        except KeyboardInterrupt as stop:
            print(str(stop) or "Interrupted; nothing was written.", file=sys.stderr)
            return INTERRUPTED


def failed(ctx: click.Context, reason: str) -> int:
    print(f"Cannot {ctx.invoked_subcommand}: {reason}", file=sys.stderr)
    return FAILED


class Setting(click.Option):
    """An option that is also read from CLASSIFIER_<NAME>; its help shows the value that the variable sets."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.envvar = ENV_PREFIX + str(self.name).upper()
        self.show_envvar = True

    def get_default(self, ctx: click.Context, call: bool = True) -> Any:
        return self.resolve_envvar_value(ctx) or super().get_default(ctx, call)


class FieldType(click.ParamType[Any]):
    """The values that a pydantic field accepts, with the message that the site gives for a wrong setting."""

    def __init__(self, field: FieldInfo) -> None:
        self._field = field
        annotated: Any = Annotated[field.annotation, field]
        self._adapter = TypeAdapter(annotated)
        self.name = {int: "integer", float: "number"}.get(annotated.__origin__, "text")

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str | None:
        allowed = choices(self._field)
        return f"[{'|'.join(allowed)}]" if allowed else None

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return self._adapter.validate_python(value)
        except ValidationError as exc:
            reason = exc.errors()[0].get("ctx", {}).get("error") or expected(self._field)
            self.fail(f"expected {reason}, not {value!r}.", param, ctx)


def options_of(model: type[BaseModel], *names: str) -> Callable[[Command], Command]:
    """Return a decorator that gives a command an option for each of these fields, by default all of them."""

    def decorate(command: Command) -> Command:
        for name in reversed(names or tuple(model.model_fields)):
            command = option_of(name, model.model_fields[name])(command)
        return command

    return decorate


def option_of(name: str, field: FieldInfo) -> Callable[[Command], Command]:
    is_setting = name in ModelOptions.model_fields or name in Limits.model_fields
    flag = f"--{name.replace('_', '-')}"
    arguments: dict[str, Any] = {"cls": Setting if is_setting else None, "help": plain(field.description or "")}
    if field.default is False:
        return click.option(flag, is_flag=True, **arguments)
    default = shown_default(field) if isinstance(field.default, tuple) else field.default
    return click.option(flag, type=PATH if default is None else FieldType(field), default=default, **arguments)


def plain(markdown: str) -> str:
    return markdown.replace("`", "")


def selected(kind: type[Model], values: Mapping[str, Any]) -> Model:
    """Return the values that `kind` has fields for."""
    return kind(**{name: value for name, value in values.items() if name in kind.model_fields})


@click.group(
    cls=Commands,
    no_args_is_help=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120, "show_default": True},
)
def commands() -> None:
    """Classify photos, and check, train, evaluate and import models of your own."""


@commands.command("predict", short_help="classify photos")
@click.argument("paths", metavar="FILE_OR_FOLDER...", nargs=-1, required=True, type=PATH)
@options_of(ModelOptions)
@options_of(Limits, "top", "max_megapixels", "max_batch")
@click.option("--json", "as_json", is_flag=True, help="print a JSON object per photo")
@click.option("--csv", "as_csv", is_flag=True, help="print a CSV line per photo")
@click.option(
    "-o",
    "--output",
    type=PATH,
    metavar="OUT",
    help="for very many photos: a .csv, .jsonl or .parquet file, or a folder of CSV parts; "
    "the same command continues an interrupted run",
)
@click.option(
    "--engine",
    cls=Setting,
    type=click.Choice(["local", "ray"]),
    default="local",
    help="with -o: predict in this process (local), or on a Ray cluster",
)
@click.pass_context
def predict(
    ctx: click.Context,
    /,
    paths: Sequence[Path],
    as_json: bool,
    as_csv: bool,
    output: Path | None,
    engine: Literal["local", "ray"],
    **values: Any,
) -> int:
    """Classify photos. The exit code is 1 if some of them could not be read."""
    if as_json + as_csv + bool(output) > 1:
        raise click.UsageError("--json, --csv and --output are not allowed with each other; please choose one.")
    limits = selected(Limits, values | {"timeout_s": NO_HURRY_S})
    options = selected(ModelOptions, values)
    if output:
        decisive = ModelOptions.model_fields.keys() - {"device"}  # an interrupted run may go on with another device
        about = {name: value and str(value) for name, value in values.items() if name in decisive}
        return predict_into(output, paths, options, limits, about, engine)
    if engine == "ray" and ctx.get_parameter_source("engine") is ParameterSource.COMMANDLINE:
        raise DataError("--engine ray writes to files; please choose an output with -o OUT.")
    from classifier.photos import files
    from classifier.prediction import output as printing

    found = files.find(paths)  # before TensorFlow and the model are loaded, which takes a while
    from classifier.models import load
    from classifier.serving.engine import LocalEngine

    model = load(options, warm=False)
    local = LocalEngine(model, limits)
    top = min(limits.top, len(model.info.labels))
    failures = printing.run(local, found, "json" if as_json else "csv" if as_csv else "table", top)
    local.close()
    return FAILED if failures else 0


def predict_into(
    output: Path,
    paths: Sequence[Path],
    options: ModelOptions,
    limits: Limits,
    about: dict[str, Any],
    engine: Literal["local", "ray"],
) -> int:
    from classifier.cluster import ray_data
    from classifier.photos import files
    from classifier.prediction import bulk, rows

    found = files.find(paths)
    bulk.parts_of(output)
    if engine == "ray":
        ray_data.cluster()  # reports a missing Ray before the model is loaded
    from classifier.models import load
    from classifier.serving.engine import LocalEngine

    model = load(options, warm=False)
    if engine == "ray":
        answer = ray_data.Streaming(partial(load, options, warm=False), model.info, limits).rows
    else:
        answer = partial(rows.rows_of, LocalEngine(model, limits))
    about |= {"top": limits.top, "resize": model.info.resize}
    failures = bulk.Run(answer, min(limits.top, len(model.info.labels)), about).into(output, found)
    return FAILED if failures else 0


@commands.command("check", short_help="inspect a folder of photos per class")
@click.argument("data", metavar="DATA", type=PATH)
@options_of(DataOptions)
@click.option("--sheet", type=PATH, help="write a contact sheet with some photos of every class to this file")
def check(data: Path, sheet: Path | None, **values: Any) -> int:
    """Inspect a folder of photos per class without changing it. The exit code is 1 if training would fail."""
    return check_data(data, sheet, DataOptions(**values))


def check_data(data: Path, sheet: Path | None = None, options: DataOptions = DEFAULTS) -> int:
    from classifier.dataset import check, contact_sheet

    found = check.inspect(data, options)
    print(check.as_text(found))
    if sheet:
        contact_sheet.contact_sheet(found.classes, found.photos).save(sheet)
        print(f"Some photos of every class: {sheet}")
    return FAILED if check.problems(found) else 0


@commands.command("train", short_help="train a classifier of your own")
@click.argument("data", metavar="DATA", type=PATH)
@click.option("-o", "--output", type=PATH, required=True, help="the model folder to write")
@options_of(Options)
@options_of(DataOptions)
@options_of(ModelOptions, "device")
def train(data: Path, output: Path, device: Device, **values: Any) -> int:
    """Train on a folder of photos per class and write a model folder, which CLASSIFIER_MODEL can then name."""
    return train_on(data, output, selected(Options, values), device, selected(DataOptions, values))


def train_on(
    data: Path, output: Path, options: Options, device: Device = "auto", data_options: DataOptions = DEFAULTS
) -> int:
    from classifier.models.device import settle

    require_backend()
    settle(device, "float32")  # before TensorFlow is imported
    from classifier.evaluation.summary import as_text  # reports a missing extra at once

    import_keras()
    from classifier.training.train import train

    metrics = train(data, output, options, data_options)
    print(as_text(metrics, list(metrics["classes"])))
    print(f"Written to {output}; its report.html has the details. Serve it: CLASSIFIER_MODEL={output} make run")
    return 0


@commands.command("evaluate", short_help="measure a model folder")
@click.argument("model", metavar="MODEL", type=PATH)
@click.argument("data", metavar="DATA", type=PATH)
@options_of(DataOptions)
@options_of(ModelOptions, "precision", "device")
@click.option("--strangers", type=PATH, help="a folder of photos of none of the classes, which should be refused")
@click.option("-o", "--output", type=PATH, help="write report.html, metrics.json and pictures to this folder")
@click.option("--json", "as_json", is_flag=True, help="print the metrics as JSON")
def evaluate(
    model: Path,
    data: Path,
    strangers: Path | None,
    output: Path | None,
    as_json: bool,
    precision: Precision,
    device: Device,
    **values: Any,
) -> int:
    """Measure a model folder on a folder of photos per class. Photos that it was trained on are left out."""
    from classifier.evaluation.evaluate import evaluate
    from classifier.evaluation.summary import as_text  # reports a missing extra at once

    metrics, classes = evaluate(model, data, output, precision, device, DataOptions(**values), strangers)
    print(json.dumps(metrics, indent=2) if as_json else as_text(metrics, classes))
    return 0


@commands.command("import", short_help="turn a saved model into a model folder")
@click.argument("file", metavar="MODEL", type=PATH)
@click.option(
    "--labels", type=PATH, required=True, help="the names of its classes: a line, a row or a JSON entry for each"
)
@click.option("-o", "--output", type=PATH, required=True, help="the model folder to write")
@click.option(
    "--scale",
    show_default="0..255, or Teachable Machine's",
    help="the range of pixel values the model expects: 0..1, -1..1, or 0..255 (also for a model that rescales its "
    "input itself); or the keras.applications model whose preprocessing it was trained with",
)
@click.option("--mean", metavar="R,G,B", help="the mean that was subtracted from pixels from 0 to 1, with --std")
@click.option("--std", metavar="R,G,B", help="the standard deviation that they were divided by")
@click.option(
    "--resize",
    type=click.Choice(["crop", "stretch"]),
    show_default="stretch, or crop for ONNX",
    help="how photos were resized for its training",
)
@click.option("--logits", is_flag=True, help="the outputs are logits; by default, those of a linear last layer are")
def import_(
    file: Path,
    labels: Path,
    output: Path,
    scale: str | None,
    mean: str | None,
    std: str | None,
    resize: Resize | None,
    logits: bool,
) -> int:
    """Turn a saved Keras or ONNX model into a model folder if its input and output fit and it contains no code."""
    from classifier.models.foreign import given_scale

    chosen = given_scale(scale, mean, std)
    if file.suffix.lower() == ".onnx":
        from classifier.models.importing_onnx import import_onnx

        card = import_onnx(file, labels, output, chosen, resize or "crop", logits)
    else:
        import_keras()
        from classifier.models.importing import import_model

        card = import_model(file, labels, output, chosen, resize or "stretch", logits)
    print(f"{len(card.labels)} classes, {card.size[0]} x {card.size[1]} pixels, {card.color_mode}: {output}")
    return 0


@commands.command("compile", short_help="make a model small and fast, for a site without TensorFlow")
@click.argument("model", metavar="MODEL")
@click.option("-o", "--output", type=PATH, required=True, help="the compiled folder to write")
@click.option(
    "--precision",
    type=click.Choice(get_args(CompiledPrecision)),
    show_default="the fastest that this processor runs natively",
    help="numeric precision of the compiled model",
)
@click.option(
    "--photos",
    type=PATH,
    show_default="the photos that MODEL was trained on",
    help="a folder of photos like those that the site will see, to calibrate int8 with and to compare on",
)
@click.option("--labelled", type=PATH, help="a folder of photos per class, to measure the accuracy before and after")
@click.option("--force", is_flag=True, help="write the folder even if the compiled model answers differently")
@options_of(ModelOptions, "weights", "labels", "resize")
def compile_(
    model: str,
    output: Path,
    precision: CompiledPrecision | None,
    photos: Path | None,
    labelled: Path | None,
    force: bool,
    **values: Any,
) -> int:
    """Write a compiled folder of MODEL, a name or a model folder, which CLASSIFIER_MODEL can then name."""
    from classifier.compiling.compile import Photos, compile_model
    from classifier.models.folder import read_card

    options = ModelOptions(model=model, device="cpu", **values)
    comparison = compile_model(options, output, Photos(photos, labelled), precision, force)
    chosen = read_card(output).compiled
    print(comparison.as_text(chosen.precision if chosen else ""))
    print(f"Written to {output}. Serve it: CLASSIFIER_MODEL={output} make run")
    return 0


@commands.command("feedback", short_help="export the visitors' feedback as photos to train on")
@click.argument("output", metavar="OUT", type=PATH)
@click.option("--uploads", cls=Setting, default=UPLOADS, help="where the site keeps its results")
def feedback(output: Path, uploads: str) -> int:
    """Export the photos that visitors confirmed or corrected to a folder of photos per class, for training."""
    from classifier.storage.feedback import FOREVER_HOURS, Feedback, export
    from classifier.storage.kept import KeptResults

    found = export(Feedback(KeptResults(uploads, FOREVER_HOURS), uploads, keep_mb=1e9), output)
    print(f"{found} photos: {output}")
    return 0


@commands.command("demo", short_help="draw pictures and train on them")
@click.option("-o", "--output", type=PATH, required=True, help="the model folder to write")
def demo(output: Path) -> int:
    """Draw a small picture set and train a classifier on it, for machines that cannot download weights."""
    from classifier.dataset.shapes import draw

    require_backend()
    with TemporaryDirectory() as folder:
        data = Path(folder, "shapes")
        draw(data)
        return check_data(data) or train_on(data, output, Options(recipe="small", image_size=96, examples=8))


@commands.command("doctor", short_help="report what this machine has, and whether the site would start")
@options_of(ModelOptions)
@click.option("--fallback", cls=Setting, default="", help="the site's model while weights cannot be downloaded")
@click.option("--uploads", cls=Setting, default=UPLOADS, help="where the site keeps its results")
def doctor(fallback: str, uploads: str, **values: Any) -> int:
    """Print one screen about this machine, for a report. The exit code is 1 if the site would not start."""
    from classifier.doctor.report import examine

    report = examine(selected(ModelOptions, values), fallback, uploads)
    print(report.as_text())
    return FAILED if report.problem else 0
