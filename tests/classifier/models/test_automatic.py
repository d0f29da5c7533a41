"""`auto` selects bfloat16 only where the processor computes in it and the answers stay the same."""

import pytest
from support.loading import load
from support.model_folders import write_colours
from support.pictures import picture

pytestmark = pytest.mark.tensorflow


@pytest.fixture
def processor(monkeypatch):
    """Pretend that the processor has these features."""

    def pretend(*features):
        monkeypatch.setattr("classifier.models.processor.features", lambda: set(features))

    return pretend


@pytest.fixture
def own(tmp_path):
    """A model folder that knows red, green and blue, with an example of each, and a file that is no picture."""
    path = write_colours(tmp_path / "colours")
    (path / "examples").mkdir()
    for colour in ("red", "lime", "blue"):
        (path / "examples" / f"{colour}.png").write_bytes(picture(colour))
    (path / "examples" / "notes.txt").write_text("mine")
    return path


def precision_of(path):
    return load(path, precision="auto").info.precision


def test_bfloat16_that_keeps_the_answers_is_selected(own, processor):
    processor("BF16")
    assert precision_of(own) == "bfloat16"


@pytest.mark.parametrize("features", [(), ("VNNI",)])
def test_a_processor_that_does_not_compute_in_bfloat16_stays_with_float32(own, processor, features):
    processor(*features)
    assert precision_of(own) == "float32"


@pytest.mark.parametrize(
    "spoiled", [lambda weights: weights[..., ::-1], lambda weights: weights / 4], ids=["other classes", "less sure"]
)
def test_bfloat16_that_changes_the_answers_is_not_selected(own, processor, monkeypatch, spoiled):
    def rebuilt(config, values, precision):
        return precision_module.rebuilt(config, [spoiled(value) for value in values], precision)

    from classifier.models import automatic
    from classifier.models import precision as precision_module

    processor("BF16")
    monkeypatch.setattr(automatic, "rebuilt", rebuilt)
    assert precision_of(own) == "float32"


def test_pretrained_models_are_asked_about_the_sites_own_examples(processor, caplog):
    processor("BF16")
    caplog.set_level("INFO")
    assert precision_of("efficientnet_lite2") == "bfloat16"
    assert "keeps the first class of 8 examples" in caplog.text
