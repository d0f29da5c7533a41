"""How a classifier of one's own is trained: every option with its default, and one line of help."""

from argparse import ArgumentTypeError
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from classifier import contract

RECIPES = ("transfer", "small", "dropout", "gray")
AUGMENTATIONS = ("flip", "zoom", "rotate", "contrast")
NUMBERS = {int: "whole number", float: "number"}


def number(kind: type[int] | type[float], low: float, high: float) -> Callable[[str], int | float]:
    def parse(text: str) -> int | float:
        try:
            if low <= (value := kind(text)) <= high:
                return value
        except ValueError:
            pass
        raise ArgumentTypeError(f"expected a {NUMBERS[kind]} from {low:g} to {high:g}, not {text!r}")

    return parse


def augmentations(text: str) -> tuple[str, ...]:
    names = () if text == "none" else tuple(text.split(","))
    for name in names:
        if name not in AUGMENTATIONS:
            raise ArgumentTypeError(f"expected none or some of {','.join(AUGMENTATIONS)}, not {name!r}")
    return names


def option(default: Any, help: str, **metadata: Any) -> Any:
    return field(default=default, metadata={"help": help, **metadata})


@dataclass(frozen=True, kw_only=True)
class Options:
    """Each field is `--<name>` of `python -m classifier train`."""

    recipe: str = option("transfer", "transfer, or from scratch: small, dropout, gray", choices=RECIPES)
    backbone: str = option("vgg16", "the pretrained keras.applications model that transfer starts from")
    weights: str = option("imagenet", "the backbone's weights: imagenet, random, or a file")
    image_size: int = option(
        0, "height and width in pixels; 0: what the recipe or the backbone was made for", parse=number(int, 0, 2048)
    )
    grayscale: bool = option(False, "let the network see no colours")
    resize: contract.Resize = option("crop", "how photos get that size, as in serving", choices=("crop", "stretch"))
    batch_size: int = option(32, "photos per step", parse=number(int, 1, 4096))
    epochs: int = option(100, "how often all photos are seen at most", parse=number(int, 1, 100_000))
    learning_rate: float = option(1e-3, "of Adam; fine-tuning takes a hundredth of it", parse=number(float, 1e-9, 10))
    validation_split: float = option(
        0.1, "share of the photos that choose the best epoch and the threshold", parse=number(float, 0.01, 0.45)
    )
    test_split: float = option(
        0.2, "share of the photos that nothing looks at before the last evaluation", parse=number(float, 0.01, 0.45)
    )
    seed: int = option(
        0, "of the split, the first weights, the order and the augmentation", parse=number(int, 0, 2**32 - 1)
    )
    augment: Sequence[str] = option(
        AUGMENTATIONS, "some of these, or none: how training photos, and only those, are varied", parse=augmentations
    )
    patience: int = option(10, "end when this many epochs brought nothing better", parse=number(int, 1, 100_000))
    class_weights: bool = option(False, "let photos of rare classes count for more")
    fine_tune: bool = option(False, "transfer: afterwards train the backbone's last third, too")
    examples: int = option(
        0, "how many test photos the site offers as examples, visible to everyone", parse=number(int, 0, 100)
    )


def options_table() -> list[tuple[str, Any, dict[str, Any]]]:
    """(name, default, metadata) of every option."""
    return [(row.name, row.default, dict(row.metadata)) for row in fields(Options)]
