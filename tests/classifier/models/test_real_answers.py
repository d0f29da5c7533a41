"""EfficientNet-Lite with its real weights names what is on real photos, which scikit-image and scikit-learn bring."""

import numpy as np
import pytest
from support.loading import load
from support.needs import SHARED, needs_shared
from support.pictures import installed

from classifier.models import compiled, folder
from classifier.photos import decode, fit
from classifier.serving.engine import LocalEngine
from classifier.terms import certainty

pytestmark = pytest.mark.tensorflow

SKIMAGE = installed("skimage") / "data"
SKLEARN = installed("sklearn") / "datasets" / "images"
# The scores of Lite2, computed with its authors' preprocessing.
PHOTOS = {
    SKIMAGE / "chelsea.png": ("Egyptian_cat", 0.56),
    SKIMAGE / "coffee.png": ("espresso", 0.89),
    SKIMAGE / "camera.png": ("tripod", 0.65),
    SKLEARN / "china.jpg": ("palace", 0.34),
}
VARIANTS = ["efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"]


@pytest.fixture(scope="module", params=VARIANTS)
def model(request):
    return load(request.param)


@pytest.fixture(scope="module")
def lite2():
    return load("efficientnet_lite2")


@pytest.fixture
def ask():
    """Classify files with a model; gives the first prediction of each."""
    engines = []

    def ask(model, paths, top=1):
        engines.append(LocalEngine(model))
        return [answer.predictions[:top] for answer in engines[-1].classify([path.read_bytes() for path in paths])]

    yield ask
    for engine in engines:
        engine.close()


def test_photos_get_their_names(model, ask):
    found = [first.label for (first,) in ask(model, PHOTOS)]
    assert found[1:] == [label for label, _ in PHOTOS.values()][1:]
    assert found[0] in ("Egyptian_cat", "tiger_cat")


def test_lite2_is_as_sure_as_it_should_be(lite2, ask):
    found = [(first.label, first.score) for (first,) in ask(lite2, PHOTOS)]
    assert found == [(label, pytest.approx(score, abs=0.03)) for label, score in PHOTOS.values()]


def test_a_batch_gives_the_answers_of_one_by_one(lite2):
    images = np.random.default_rng(0).integers(0, 256, (16, *lite2.info.size, 3), dtype=np.uint8)
    single = np.concatenate([lite2(image[np.newaxis]) for image in images])
    np.testing.assert_allclose(lite2(images), single, atol=1e-5)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_reduced_precision_gives_the_same_names(lite2, ask, precision):
    low = load("efficientnet_lite2", precision=precision)
    assert low.info.precision == precision
    for (expected,), (first,) in zip(ask(lite2, PHOTOS), ask(low, PHOTOS), strict=True):
        assert first.label == expected.label
        assert first.score == pytest.approx(expected.score, abs=0.1)


def test_a_heat_map_shows_where_the_cat_is(lite2, ask):
    engine = LocalEngine(lite2)
    (first,) = ask(lite2, [SKIMAGE / "chelsea.png"])[0]
    heat = engine.explain((SKIMAGE / "chelsea.png").read_bytes, first.index).heat
    engine.close()
    assert heat.max() == pytest.approx(1)
    rows, columns = np.indices(heat.shape)
    middle = (heat.shape[0] - 1) / 2
    centre = [(heat * axis).sum() / heat.sum() - middle for axis in (rows, columns)]
    assert np.abs(centre).max() < 2  # her face fills the middle


def test_its_compiled_folder_shows_the_same_parts_without_gradients(lite2, tmp_path):
    from classifier.compiling.export import exported

    card = folder.ModelCard(labels=[label.name for label in lite2.info.labels], size=lite2.info.size)
    compilation = folder.Compilation(precision="float32", source="efficientnet_lite2", weights="imagenet")
    compiled.write(tmp_path, exported(lite2.network), card, compilation)
    pixels = fit.to_pixels(decode.read((SKIMAGE / "chelsea.png").read_bytes()), lite2.info.size)
    best = int(lite2(pixels[np.newaxis])[0].argmax())
    np.testing.assert_allclose(compiled.read(tmp_path).explain(pixels, best), lite2.explain(pixels, best), atol=1e-3)


@needs_shared
def test_most_shared_photos_are_named_first(model, ask):
    photos = sorted((SHARED / "photos").iterdir())
    ranked = [[prediction.wnid for prediction in answer] for answer in ask(model, photos, top=5)]
    wnids = [path.name[:9] for path in photos]
    assert sum(wnid == found[0] for wnid, found in zip(wnids, ranked, strict=True)) >= 21
    assert sum(wnid in found for wnid, found in zip(wnids, ranked, strict=True)) >= 23


@needs_shared
def test_what_is_surely_on_shared_photos_is_true(lite2):
    engine = LocalEngine(lite2)
    photos = sorted((SHARED / "photos").iterdir())
    answers = engine.classify([path.read_bytes() for path in photos])
    engine.close()
    indices = {label.wnid: index for index, label in enumerate(lite2.info.labels)}
    members = {term.wnid: term.classes for term in lite2.info.terms.terms}
    right, names = [], 0
    for path, answer in zip(photos, answers, strict=True):
        best, true = answer.predictions[0], indices[path.name[:9]]
        sure, broader = certainty(best.score, answer.broader, lite2.info.sure_from())
        names += sure
        right += [best.index == true] if sure else [true in members[broader.wnid]] if broader else []
    assert right.count(False) <= 1
    assert names >= 0.6 * len(photos)
    assert len(right) > names
