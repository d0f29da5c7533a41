"""Write `classifier/models/imagenet.json`: ImageNet's 1,000 classes and the broader terms above each of them.

    python scripts/imagenet_classes.py ~/.keras/models/imagenet_class_index.json

The class index is Keras' (index -> WordNet id, label). The broader terms come from WordNet 3.0, whose noun offsets are
ImageNet's ids: `apt-get install wordnet-base` puts them into /usr/share/wordnet. The section `everyday` is written by
hand and kept: the terms that people use, each as a singular noun with an article that is true of all its classes.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

TARGET = Path(__file__).resolve().parents[1] / "classifier" / "models" / "imagenet.json"
NOUNS = Path("/usr/share/wordnet/data.noun")
LICENCE_LINES = 29  # at the top of WordNet's files, each after its number
BROADER = ("@", "@i")  # WordNet's pointers to a hypernym: of a kind, and of a single thing


def main(class_index: str) -> None:
    index = json.loads(Path(class_index).read_text("utf-8"))
    classes = [index[str(i)] for i in range(len(index))]
    nouns = dict(synsets(NOUNS))
    broader, left = {}, [parent for wnid, _ in classes for parent in nouns[wnid][1]]
    while left:
        wnid = left.pop()
        if wnid not in broader:
            broader[wnid] = nouns[wnid]
            left += nouns[wnid][1]
    parents = {wnid: nouns[wnid][1] for wnid, _ in classes}
    everyday = json.loads(TARGET.read_text("utf-8"))["everyday"]
    if unknown := everyday.keys() - broader.keys():
        raise SystemExit(f"Expected everyday terms above the classes, found {', '.join(sorted(unknown))}; remove them.")
    TARGET.write_text(document(classes, parents, broader, everyday), "utf-8")
    print(f"{len(classes)} classes, {len(broader)} broader terms, {len(everyday)} of them everyday: {TARGET}")


def synsets(path: Path) -> Iterator[tuple[str, tuple[str, list[str]]]]:
    """Yield (id, (first word, ids of the hypernyms)) of every noun. Source: wndb(5WN), WordNet's file format."""
    for line in path.read_text("ascii").splitlines():
        if line.startswith(" "):
            continue  # the licence
        fields = line.partition(" | ")[0].split()
        words = int(fields[3], 16)
        pointers = fields[5 + 2 * words :]  # symbol, offset, part of speech, source and target
        pairs = zip(pointers[::4], pointers[1::4], strict=True)
        parents = [f"n{offset}" for symbol, offset in pairs if symbol in BROADER]
        yield f"n{fields[0]}", (fields[4].replace("_", " "), parents)


def licence(path: Path) -> list[str]:
    """Return WordNet's licence, which has to go along with what is taken from it."""
    lines = path.read_text("ascii").splitlines()[:LICENCE_LINES]
    return [line.strip().partition(" ")[2].strip() for line in lines]


def document(
    classes: list[list[str]],
    parents: dict[str, list[str]],
    broader: dict[str, tuple[str, list[str]]],
    everyday: dict[str, str],
) -> str:
    """Return the file's text: JSON with a class or a term on each line, so that a change can be reviewed."""
    rows = [json.dumps([wnid, label, parents[wnid]], ensure_ascii=False) for wnid, label in classes]
    terms = [f"{json.dumps(wnid)}: {json.dumps(broader[wnid])}" for wnid in sorted(broader)]
    words = [f"{json.dumps(wnid)}: {json.dumps(everyday[wnid])}" for wnid in sorted(everyday)]
    parts = {
        "source": json.dumps("Keras' ImageNet class index; broader terms: WordNet 3.0"),
        "licence": json.dumps(licence(NOUNS), indent=1),
        "classes": "[\n" + ",\n".join(rows) + "\n]",
        "broader": "{\n" + ",\n".join(terms) + "\n}",
        "everyday": "{\n" + ",\n".join(words) + "\n}",
    }
    return "{\n" + ",\n".join(f'"{name}": {text}' for name, text in parts.items()) + "\n}\n"


if __name__ == "__main__":
    main(*sys.argv[1:])
