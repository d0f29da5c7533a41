"""Every option of training: its default, its bounds and a line of help, each written once.

`python -m classifier train` derives its command line from this.
"""

from typing import Annotated, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from classifier.contract import Resize
from classifier.dataset.options import SEED, TEST, VALIDATION
from classifier.options import ModelOptions

RecipeName = Literal["transfer", "small", "dropout", "gray"]
Augmentation = Literal["flip", "zoom", "rotate", "contrast"]
AUTO = "auto"  # the backbone that suits the machine
AUGMENTATIONS: tuple[Augmentation, ...] = get_args(Augmentation)


def split_names(value: object) -> object:
    """Split a comma-separated list of augmentations; "none" is the empty one."""
    names = value if not isinstance(value, str) else () if value == "none" else tuple(value.split(","))
    if not isinstance(names, list | tuple) or not set(names) <= set(AUGMENTATIONS):
        raise ValueError(f"none or some of {','.join(AUGMENTATIONS)}")
    return names


class Options(BaseModel):
    """Each field is `--<name>` of `python -m classifier train`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe: RecipeName = Field(
        default="transfer",
        description="a new head on a pretrained backbone (transfer), or a small network from scratch (the others)",
    )
    backbone: str = Field(
        default=AUTO,
        description="the pretrained model that transfer starts from, such as `vgg16`, or `auto` (efficientnet_lite2 "
        "on a CPU, on a GPU the best of EfficientNetV2 that can be downloaded)",
    )
    weights: str = Field(
        default=ModelOptions.model_fields["weights"].default,
        description="the backbone's weights: imagenet, random, or a weights file",
    )
    image_size: int = Field(
        default=0,
        ge=0,
        le=2048,
        description="height and width in pixels; 0: the size the recipe or backbone was designed for",
    )
    grayscale: bool = Field(default=False, description="convert photos to greyscale inside the network")
    resize: Resize = Field(
        default="crop", description="how photos are brought to that size, in training and in serving"
    )
    batch_size: int = Field(default=32, ge=1, le=4096, description="photos per step")
    epochs: int = Field(default=100, ge=1, le=100_000, description="maximum number of epochs")
    learning_rate: float = Field(
        default=1e-3, ge=1e-9, le=10, description="learning rate of Adam; fine-tuning uses a hundredth of it"
    )
    validation_split: float = Field(
        default=VALIDATION,
        ge=0.01,
        le=0.45,
        description="share of the photos that choose the best epoch, the temperature and the threshold",
    )
    test_split: float = Field(
        default=TEST, ge=0.01, le=0.45, description="share of the photos held out for the final evaluation"
    )
    seed: int = Field(
        default=SEED,
        ge=0,
        le=2**32 - 1,
        description="seed of the split, the initial weights, the order and the augmentation",
    )
    augment: Annotated[tuple[Augmentation, ...], BeforeValidator(split_names)] = Field(
        default=AUGMENTATIONS,
        description="augmentations of the photos of every epoch: a comma-separated list, or none",
    )
    patience: int = Field(default=10, ge=1, le=100_000, description="stop after this many epochs without improvement")
    class_weights: bool = Field(default=False, description="give photos of rare classes more weight")
    fine_tune: bool = Field(
        default=False, description="transfer only: then train the last third of the backbone as well"
    )
    examples: int = Field(
        default=0, ge=0, le=100, description="number of test photos that the site offers to everyone as examples"
    )
    no_thumbnails: bool = Field(
        default=False, description="keep no small pictures of the training photos, which the site shows to everyone"
    )
