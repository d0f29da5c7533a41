"""The commands around training: check, train, evaluate, demo."""

import argparse
import json
from pathlib import Path
from typing import Any

from classifier.training.options import Options, options_table


def add_check(commands: Any) -> None:
    command = commands.add_parser("check", help="look at a folder of photos per class", description=run_check.__doc__)
    command.set_defaults(run=run_check)
    command.add_argument("data", type=Path, metavar="DATA")
    command.add_argument("--sheet", type=Path, help="write a picture with some photos of every class here")


def run_check(args: argparse.Namespace) -> int:
    """Tell what is in a folder of class folders, changing nothing; exit code 1 when training on it would fail."""
    return look(args.data, args.sheet)


def look(data: Path, sheet_path: Path | None = None) -> int:
    from classifier.dataset import check, contact_sheet

    inspection = check.inspect(data)
    print(check.as_text(inspection))
    if sheet_path:
        contact_sheet.contact_sheet(inspection.classes, inspection.photos).save(sheet_path)
        print(f"Some photos of every class: {sheet_path}")
    return 1 if check.problems(inspection) else 0


def add_train(commands: Any) -> None:
    command = commands.add_parser("train", help="train a classifier of your own", description=run_train.__doc__)
    command.set_defaults(run=run_train)
    command.add_argument("data", type=Path, metavar="DATA")
    command.add_argument("-o", "--output", type=Path, required=True, help="the model folder to write")
    for name, default, row in options_table():
        kind = {"action": "store_true"} if default is False else {"type": row.get("parse", type(default))}
        choices = {"choices": row["choices"]} if "choices" in row else {}
        help = row["help"] + ("" if default is False else f" ({default})")
        command.add_argument(f"--{name.replace('_', '-')}", default=default, help=help, **kind, **choices)


def run_train(args: argparse.Namespace) -> int:
    """Train on a folder of photos per class and write a model folder, which CLASSIFIER_MODEL then names."""
    return learn(args.data, args.output, Options(**{name: getattr(args, name) for name, _, _ in options_table()}))


def learn(data: Path, output: Path, options: Options) -> int:
    from classifier.evaluation.summary import as_text
    from classifier.training import train

    metrics = train.train(data, output, options)
    print(as_text(metrics, list(metrics["classes"])))
    print(f"Written to {output}; its report.html tells more. Serve it: CLASSIFIER_MODEL={output} make run")
    return 0


def add_evaluate(commands: Any) -> None:
    command = commands.add_parser("evaluate", help="how good a model folder is", description=run_evaluate.__doc__)
    command.set_defaults(run=run_evaluate)
    command.add_argument("model", type=Path, metavar="MODEL", help="a model folder")
    command.add_argument("data", type=Path, metavar="DATA", help="a folder of photos per class")
    command.add_argument("-o", "--output", type=Path, help="write report.html, metrics.json and pictures here")
    command.add_argument("--json", action="store_true", help="print the metrics as JSON")


def run_evaluate(args: argparse.Namespace) -> int:
    """Evaluate a model folder on photos it has not learned from: those of DATA that its training used are left out."""
    from classifier.evaluation import evaluate
    from classifier.evaluation.summary import as_text

    metrics, classes = evaluate.evaluate(args.model, args.data, args.output)
    print(json.dumps(metrics, indent=2) if args.json else as_text(metrics, classes))
    return 0


def add_demo(commands: Any) -> None:
    command = commands.add_parser("demo", help="draw pictures and train on them", description=run_demo.__doc__)
    command.set_defaults(run=run_demo)
    command.add_argument("-o", "--output", type=Path, required=True, help="the model folder to write")


def run_demo(args: argparse.Namespace) -> int:
    """Draw a small picture set and train a classifier on it: for machines that cannot download weights."""
    from tempfile import TemporaryDirectory

    from classifier.dataset.shapes import draw

    with TemporaryDirectory() as folder:
        data = Path(folder, "shapes")
        draw(data)
        options = Options(recipe="small", image_size=96, examples=8)
        return look(data) or learn(data, args.output, options)
