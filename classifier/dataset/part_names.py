"""Names under which people keep the parts of a split: "train", "Testing", "training_set", "seg_train", "val2017"."""

import re
from collections.abc import Iterable

UNLABELLED = "unlabelled"
WORDS = {
    "train": "train training trainings trn",
    "validation": "val valid validate validation dev development",
    "test": "test tests testing tst holdout heldout eval evaluation",
    UNLABELLED: "unlabelled unlabeled pred predict prediction predictions inference submission",
}
# These add nothing to the name of a part, as in "train_images", "trainset" or "test data".
FILLERS = {
    "set", "sets", "data", "dataset", "datasets", "image", "images", "img", "imgs", "photo", "photos", "picture",
    "pictures", "pic", "pics", "folder", "dir", "split", "part", "files", "samples", "examples", "labeled", "labelled",
    "raw", "original", "daten", "bilder",
}  # fmt: skip
PART_OF = {word: part for part, words in WORDS.items() for word in words.split()}
COMPOUNDS = {
    text: part for word, part in PART_OF.items() for filler in FILLERS for text in (word + filler, filler + word)
}


def recognised(names: Iterable[str]) -> dict[str, str]:
    """Return the part (train, validation, test or unlabelled) of each of the sibling folders that is named like one.

    Words such as "flowers" in "flowers_train" must be common to folders of two different parts ("flowers_test"), so
    that "bullet_train" and "test_tube" stay classes.
    """
    readings = {name: reading for name in names if (reading := read(name))}
    return {
        name: part
        for name, (part, rest) in readings.items()
        if not rest or any(rest == other and part != another for another, other in readings.values())
    }


def read(name: str) -> tuple[str, tuple[str, ...]] | None:
    """Return the one part that a name mentions and its other words; None if it mentions no part or several."""
    words = words_of(name)
    parts = {part_of(word) for word in words} - {None}
    if len(parts) != 1:
        return None
    rest = tuple(word for word in words if not part_of(word) and word not in FILLERS)
    return str(parts.pop()), rest


def part_of(word: str) -> str | None:
    return PART_OF.get(word) or COMPOUNDS.get(word)


def words_of(name: str) -> list[str]:
    """Split a name into lower-case words without digits: "TestSet-2" -> ["test", "set"]."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    joined = re.sub(r"(hold|held)[\W_]+out", "holdout", spaced, flags=re.IGNORECASE)
    return [word.lower() for word in re.findall(r"[^\W\d_]+", joined)]
