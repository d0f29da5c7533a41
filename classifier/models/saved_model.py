"""What Keras 2 wrote about its layers into a SavedModel folder."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from classifier.models.rebuilding import NETWORKS, Config

METADATA = "keras_metadata.pb"


def read_config(folder: Path) -> tuple[Config | None, str | None]:
    """Return the configuration of the outermost network and the version of Keras, or None if TensorFlow wrote it.

    Raises ImportError without TensorFlow, and other errors for damaged files.
    """
    for text in metadata(folder):
        found = json.loads(text) if text else {}
        if found.get("class_name") in NETWORKS and "config" in found:
            return untupled({key: found[key] for key in ("class_name", "config")}), found.get("keras_version")
        break  # only the first object is the whole model
    return None, None


def metadata(folder: Path) -> Iterator[str]:
    """Yield the description of each object: Keras 2.5 has a file for them, and earlier versions none of their own."""
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
    from tensorflow.python.keras.protobuf.saved_metadata_pb2 import SavedMetadata

    if (folder / METADATA).is_file():
        nodes = SavedMetadata.FromString((folder / METADATA).read_bytes()).nodes
        yield from (node.metadata for node in sorted(nodes, key=lambda node: node.node_id))
    else:
        saved = SavedModel.FromString((folder / "saved_model.pb").read_bytes())
        yield from (node.user_object.metadata for graph in saved.meta_graphs for node in graph.object_graph_def.nodes)


def untupled(value: Any) -> Any:
    """Return lists for the tuples and shapes in a configuration, which it writes as {"class_name", "items"}."""
    match value:
        case {"class_name": "__tuple__" | "TensorShape", "items": list(items)}:
            return untupled(items)
        case dict():
            return {key: untupled(item) for key, item in value.items()}
        case list():
            return [untupled(item) for item in value]
    return value
