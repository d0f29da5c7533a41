"""python -m classifier predict | check | train | evaluate | import | feedback | demo: the engine without the web.

The modules that load TensorFlow are imported by the command that needs them.
"""

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from classifier.errors import ClassifierError, DataError
from classifier.options import Limits, ModelOptions, build
from classifier.prediction import output
from classifier.training.commands import add_check, add_demo, add_evaluate, add_train
from classifier.training.options import number

FAILED, INTERRUPTED = 1, 130
NEEDS_EXTRA = "this needs the extra `train`: .venv/bin/pip install -c constraints.txt -e '.[train]'"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code: 0, 1 when it failed or found failures, 2 for a wrong call."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    args = parser().parse_args(arguments)
    try:
        return int(args.run(args))
    except BrokenPipeError:  # by `| head`, say; what is left to flush goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except ClassifierError as error:
        print(f"Cannot {args.command}: {error}", file=sys.stderr)
        return FAILED
    except OSError as error:
        print(f"Cannot {args.command}: {error.filename or 'a file'}: {error.strerror}.", file=sys.stderr)
        return FAILED
    except ModuleNotFoundError as error:
        if str(error.name).partition(".")[0] not in ("sklearn", "matplotlib"):
            raise
        print(f"Cannot {args.command}: {NEEDS_EXTRA}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt as stop:
        print(str(stop) or "Interrupted; nothing was written.", file=sys.stderr)
        return INTERRUPTED


def parser() -> argparse.ArgumentParser:
    whole = argparse.ArgumentParser(prog="python -m classifier", description=__doc__.split("\n\n")[0])
    commands = whole.add_subparsers(dest="command", required=True, metavar="command")
    for add in (add_predict, add_check, add_train, add_evaluate, add_import, add_feedback, add_demo):
        add(commands)
    return whole


def add_predict(commands: Any) -> None:
    command = commands.add_parser("predict", help="name what is in photos", description=run_predict.__doc__)
    command.set_defaults(run=run_predict)
    command.add_argument("paths", nargs="+", type=Path, metavar="FILE_OR_FOLDER")
    add_model(command)
    command.add_argument("--top", type=number(int, 1, 1000), default=5, help="how many classes an answer lists (5)")
    formats = command.add_mutually_exclusive_group()
    formats.add_argument("--json", dest="format", action="store_const", const="json", help="a JSON object per line")
    formats.add_argument("--csv", dest="format", action="store_const", const="csv", help="a CSV line per photo")
    formats.add_argument(
        "-o", "--output", type=Path, metavar="OUT", help="for very many photos: a .csv, .jsonl or .parquet file, or a "
        "folder of parts; the same command goes on where it was interrupted"
    )  # fmt: skip
    command.add_argument("--engine", choices=("local", "ray"), default="local", help="with -o: here (local), or by Ray")


def add_model(command: argparse.ArgumentParser) -> None:
    """The settings of the same names, from the same environment."""
    for name, default, help, *allowed in (
        ("model", "vgg16", "a keras.applications model or a model folder"),
        ("weights", "imagenet", "imagenet, random, or a weights file"),
        ("labels", None, "a class-index file"),
        ("precision", "float32", "what it computes in", "float32", "bfloat16", "float16", "auto"),
        ("resize", "crop", "how photos are fitted; a model folder has its own", "crop", "stretch"),
    ):
        fallback = os.environ.get(f"CLASSIFIER_{name.upper()}") or default
        shown = f"{help}{': ' * bool(allowed)}{' or '.join(allowed)} ({fallback or 'unset'})".replace("%", "%%")
        command.add_argument(f"--{name}", default=fallback, type=partial(one_of, allowed), help=shown)


def one_of(allowed: Sequence[str], text: str) -> str:
    if allowed and text not in allowed:  # argparse's own `choices` spare what comes from the environment
        raise argparse.ArgumentTypeError(f"expected {' or '.join(allowed)}, not {text!r}")
    return text


def model_options(args: argparse.Namespace) -> ModelOptions:
    return build(ModelOptions, {name: getattr(args, name) for name in ModelOptions.model_fields})


def run_predict(args: argparse.Namespace) -> int:
    """Name what is in photos; with exit code 1 if some could not be read."""
    if args.output:
        return run_bulk(args)
    if args.engine == "ray":
        raise DataError("Ray answers into files; please say which with -o OUT.")
    from classifier.prediction import rows

    files = rows.find(args.paths)  # before TensorFlow and the model are loaded, which takes its time
    from classifier.models.loading import load
    from classifier.serving.engine import LocalEngine

    engine = LocalEngine(load(model_options(args)), Limits(top=args.top, timeout_s=3600))
    failed = output.run(engine, files, args.format or "table")
    engine.close()
    return FAILED if failed else 0


def run_bulk(args: argparse.Namespace) -> int:
    """Name what is in very many photos, part by part; with exit code 1 if some could not be read."""
    from classifier.cluster import ray_data
    from classifier.prediction import bulk, rows

    files = bulk.find(args.paths)
    bulk.parts_of(args.output)
    if args.engine == "ray":
        ray_data.cluster()  # tells what to install, before the model is loaded
    from classifier.models.loading import load
    from classifier.serving.engine import LocalEngine

    loads = partial(load, model_options(args))
    model = loads()
    limits = Limits(top=min(args.top, len(model.info.labels)), timeout_s=3600)
    about = {name: getattr(args, name) for name in ("model", "weights", "labels", "precision", "top")}
    if args.engine == "ray":
        answer = ray_data.Streaming(loads, model.info, limits).rows
    else:
        answer = partial(rows.rows_of, LocalEngine(model, limits))
    failed = bulk.Run(answer, limits.top, about | {"resize": model.info.resize}).into(args.output, files)
    return FAILED if failed else 0


def add_import(commands: Any) -> None:
    command = commands.add_parser("import", help="make a model folder of a saved model", description=run_import.__doc__)
    command.set_defaults(run=run_import)
    command.add_argument("file", type=Path, metavar="MODEL", help="a whole saved model, .keras or .h5")
    command.add_argument("--labels", type=Path, required=True, help="a name per line, or a class-index .json")
    command.add_argument("-o", "--output", type=Path, required=True, help="the model folder to write")
    command.add_argument(
        "--scale", default="0..255", help="what its pixels are to be: 0..1, -1..1, 0..255 (also when it rescales by "
        "itself; the default), or the keras.applications model whose preprocessing it was trained with",
    )  # fmt: skip
    command.add_argument("--resize", default="stretch", choices=("crop", "stretch"), help="as in training (stretch)")


def run_import(args: argparse.Namespace) -> int:
    """Make a model folder of somebody's saved Keras model, when its input and output fit. It may hold no code."""
    from classifier.models.importing import import_model

    card = import_model(args.file, args.labels, args.output, args.scale, args.resize)
    print(f"{len(card.labels)} classes, {card.size[0]} x {card.size[1]} pixels, {card.color_mode}: {args.output}")
    return 0


def add_feedback(commands: Any) -> None:
    command = commands.add_parser("feedback", help="what visitors said, to train on", description=run_feedback.__doc__)
    command.set_defaults(run=run_feedback)
    command.add_argument("output", type=Path, metavar="OUT", help="the folder of classes to write")
    uploads = os.environ.get("CLASSIFIER_UPLOADS") or "uploads"
    shown = f"where the site keeps photos ({uploads})".replace("%", "%%")
    command.add_argument("--uploads", default=uploads, help=shown)


def run_feedback(args: argparse.Namespace) -> int:
    """Write the photos that visitors confirmed or corrected as a folder of classes, which train reads."""
    from classifier.storage.feedback import Feedback, export
    from classifier.storage.kept import KeptResults

    found = export(Feedback(KeptResults(args.uploads, keep_hours=1e9), args.uploads, keep_mb=1e9), args.output)
    print(f"{found} photos: {args.output}")
    return 0
