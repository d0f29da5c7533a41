"""The metrics equal those computed by hand, and there is a report for any answers of the model."""

import json
import math
import warnings
from itertools import product

import numpy as np
import pytest
from PIL import Image
from support.pictures import encoded, picture, textured

from classifier.errors import DataError


@pytest.fixture(scope="module", autouse=True)
def scikit_learn():
    """Import here what imports scikit-learn and matplotlib, so that collecting the tests does not."""
    global plots, report, measure, as_text, in_percent, wilson_interval
    from classifier.evaluation import plots, report
    from classifier.evaluation.metrics import measure, wilson_interval
    from classifier.evaluation.summary import as_text, in_percent


ODD = "<b>$x_1$</b> & 日本"
FIVE = ["daisy", "dandelion", "roses", "sunflowers", "tulips"]

# Four photos, two of them right: cat, cat taken for dog, dog, dog taken for cat.
PETS = ["cat", "dog"]
PET_SCORES = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.7, 0.3]])
PET_LABELS = np.array([0, 0, 1, 1])


def pets(threshold=0.0):
    return measure(PET_SCORES, PET_LABELS, PETS, majority=0, threshold=threshold)


def answers(predicted, classes, sure=0.6):
    """Return probabilities: `sure` for the predicted class, the rest shared equally by the others."""
    n = len(classes)
    return np.where(np.eye(n, dtype=bool)[predicted], sure, (1 - sure) / (n - 1))


def flowers():
    """Ten photos of four of five classes: eight right, two roses classified as tulips."""
    labels = np.array([0, 0, 1, 1, 2, 2, 2, 2, 4, 4])
    predicted = np.array([0, 0, 1, 1, 2, 2, 4, 4, 4, 4])
    return answers(predicted, FIVE), labels


def random_answers(photos, classes, seed=1):
    rng = np.random.default_rng(seed)
    scores = rng.dirichlet(np.ones(classes), photos).astype(np.float32)
    return scores, rng.integers(0, classes, photos)


def test_loss_and_accuracy_are_those_by_hand():
    metrics = pets()
    assert metrics["photos"] == 4
    assert metrics["accuracy"] == 0.5
    assert metrics["loss"] == pytest.approx(-(math.log(0.9) + math.log(0.4) + math.log(0.8) + math.log(0.3)) / 4)


def wilson(right, photos):
    """Return the 95% interval (low, high) as SciPy computes it."""
    from scipy.stats import binomtest

    return list(binomtest(right, photos).proportion_ci(method="wilson"))


@pytest.mark.parametrize(("right", "photos"), [(0, 1), (1, 1), (3, 4), (48, 60), (0, 60), (60, 60), (9123, 10_000)])
def test_the_interval_of_the_accuracy_is_wilson_s(right, photos):
    assert wilson_interval(right / photos, photos) == pytest.approx(wilson(right, photos), abs=1e-6)


def test_the_interval_of_48_in_60_is_that_by_hand():
    """(0.8 + 1.96^2 / 120) / (1 + 1.96^2 / 60) = 0.7819, give or take 0.0998."""
    assert wilson_interval(0.8, 60) == pytest.approx((0.6822, 0.8817), abs=1e-4)
    assert in_percent(wilson_interval(0.8, 60)) == "68 to 88%"
    assert in_percent(wilson_interval(0.8, 10_000)) == "79.2 to 80.8%"


def test_the_accuracy_comes_with_its_interval():
    assert pets()["accuracy_interval"] == pytest.approx(wilson(2, 4), abs=1e-6)


def test_the_calibration_without_the_temperature_is_that_of_the_logits():
    random = np.random.default_rng(3)
    logits, labels = random.normal(size=(200, 5)) * 3, random.integers(0, 5, 200)
    plain, divided = (np.exp(some) / np.exp(some).sum(axis=1, keepdims=True) for some in (logits, logits / 2.5))
    expected = measure(plain, labels, FIVE, majority=0)["calibration"]
    found = measure(divided.astype(np.float32), labels, FIVE, majority=0, temperature=2.5)
    assert found["calibration_without_temperature"]["error"] == pytest.approx(expected["error"], abs=1e-4)
    assert found["calibration"] == measure(divided.astype(np.float32), labels, FIVE, majority=0)["calibration"]
    assert "calibration_without_temperature" not in measure(plain, labels, FIVE, majority=0)


def test_a_probability_of_zero_has_no_temperature():
    scores = np.array([[1.0, 0.0], [0.5, 0.5]])
    found = measure(scores, np.array([0, 1]), PETS, majority=0, temperature=3.0)
    assert found["calibration_without_temperature"] == found["calibration"]


def test_a_sure_wrong_answer_costs_much_but_not_infinitely_much():
    metrics = measure(np.array([[1.0, 0.0]]), np.array([1]), PETS, majority=0)
    assert metrics["loss"] == pytest.approx(math.log(1e7))


def test_confusions_have_true_rows_and_predicted_columns():
    scores, labels = flowers()
    confusion = measure(scores, labels, FIVE, majority=2)["confusion"]
    assert confusion == [[2, 0, 0, 0, 0], [0, 2, 0, 0, 0], [0, 0, 2, 0, 2], [0, 0, 0, 0, 0], [0, 0, 0, 0, 2]]


def test_each_class_has_its_precision_recall_and_f1():
    scores, labels = flowers()
    metrics = measure(scores, labels, FIVE, majority=2)
    assert list(metrics["classes"]) == FIVE
    daisy, _, roses, sunflowers, tulips = metrics["classes"].values()
    assert daisy == {"precision": 1, "recall": 1, "f1": 1, "support": 2}
    assert roses == {"precision": 1, "recall": 0.5, "f1": pytest.approx(2 / 3), "support": 4}
    assert tulips == {"precision": 0.5, "recall": 1, "f1": pytest.approx(2 / 3), "support": 2}
    assert sunflowers == {"precision": 0, "recall": 0, "f1": 0, "support": 0}


def test_averages_are_over_the_classes_that_have_photos():
    scores, labels = flowers()
    averages = measure(scores, labels, FIVE, majority=2)["averages"]
    assert averages["macro"]["recall"] == pytest.approx((1 + 1 + 0.5 + 1) / 4)
    assert averages["weighted"]["recall"] == pytest.approx(0.8)  # which is the accuracy


def test_auc_is_the_share_of_pairs_in_the_right_order():
    scores, labels = random_answers(40, 2)
    scores = scores.round(1)  # so that there are ties, which count half
    pairs = list(product(scores[labels == 1, 1], scores[labels == 0, 1]))
    by_hand = sum((dog > cat) + (dog == cat) / 2 for dog, cat in pairs) / len(pairs)
    assert measure(scores, labels, PETS, majority=0)["auc"] == pytest.approx(by_hand)
    assert pets()["auc"] == 3 / 4


def test_there_is_no_auc_of_five_classes_or_of_one():
    assert measure(*flowers(), FIVE, majority=2)["auc"] is None
    assert measure(PET_SCORES[:2], PET_LABELS[:2], PETS, majority=0)["auc"] is None


def test_a_class_among_the_first_k_counts_and_k_is_less_than_all():
    scores = np.array([[0.5, 0.3, 0.1, 0.06, 0.04]] * 5)
    labels = np.arange(5)
    assert measure(scores, labels, FIVE, majority=0)["top_k"] == {"3": 0.6}
    assert measure(*random_answers(9, 6), list("abcdef"), majority=0)["top_k"].keys() == {"3", "5"}
    assert pets()["top_k"] == {}


def test_of_equals_the_first_is_the_answer():
    metrics = measure(np.full((3, 5), 0.2), np.array([0, 2, 3]), FIVE, majority=0)
    assert metrics["accuracy"] == pytest.approx(1 / 3)
    assert metrics["top_k"] == {"3": pytest.approx(2 / 3)}  # scikit-learn alone would count the last three


@pytest.mark.parametrize("classes", [2, 5, 1000])
def test_loss_and_top_k_are_those_of_the_definitions(classes):
    """Also with probabilities of 0, ties, and sums that are not exactly 1."""
    scores, labels = random_answers(50, classes)
    scores = scores.round(2 if classes < 1000 else 4)
    of_truth = scores[np.arange(50), labels].astype(float)
    ranks = [(scores[i] > score).sum() + (scores[i, : labels[i]] == score).sum() for i, score in enumerate(of_truth)]
    metrics = measure(scores, labels, [str(i) for i in range(classes)], majority=0)
    normalised = of_truth.clip(1e-7, 1) / scores.astype(float).clip(1e-7, 1).sum(axis=1)
    assert metrics["loss"] == pytest.approx(-np.log(normalised).mean())
    assert metrics["top_k"] == {str(k): np.mean(np.array(ranks) < k) for k in (3, 5) if k < classes}


def test_who_is_as_sure_as_right_has_no_calibration_error():
    predicted, labels = np.zeros(10, int), np.array([0] * 8 + [1] * 2)
    calibration = measure(answers(predicted, PETS, 0.8), labels, PETS, majority=0)["calibration"]
    assert calibration["error"] == pytest.approx(0)
    (filled,) = [bin for bin in calibration["bins"] if bin["count"]]
    assert filled == {"low": 0.8, "high": 0.9, "count": 10, "confidence": pytest.approx(0.8), "accuracy": 0.8}


def test_who_is_too_sure_has_the_difference_as_calibration_error():
    predicted, labels = np.zeros(10, int), np.array([0] * 5 + [1] * 5)
    calibration = measure(answers(predicted, PETS, 0.95), labels, PETS, majority=0)["calibration"]
    assert calibration["error"] == pytest.approx(0.45)


def test_ten_bins_hold_every_photo_even_the_surest():
    scores, labels = np.array([[1.0, 0.0], [0.5, 0.5]]), np.array([0, 0])
    bins = measure(scores, labels, PETS, majority=0)["calibration"]["bins"]
    assert [bin["count"] for bin in bins] == [0, 0, 0, 0, 0, 1, 0, 0, 0, 1]


def test_the_baseline_always_says_what_was_most_frequent_in_training():
    scores, labels = flowers()
    assert measure(scores, labels, FIVE, majority=2)["baseline"] == {"class": "roses", "accuracy": 0.4}
    assert measure(scores, labels, FIVE, majority=3)["baseline"] == {"class": "sunflowers", "accuracy": 0}


def test_with_a_threshold_only_the_surer_answers_count():
    limited = pets(threshold=0.7)["with_threshold"]  # 0.9 right, 0.8 right, 0.7 wrong
    assert limited == {
        "threshold": 0.7,
        "answered": 0.75,
        "accuracy_of_answered": pytest.approx(2 / 3),
        "interval_of_answered": pytest.approx(wilson(2, 3), abs=1e-6),
    }
    assert pets(threshold=0.99)["with_threshold"]["accuracy_of_answered"] is None
    assert pets(threshold=0.99)["with_threshold"]["interval_of_answered"] is None
    assert "with_threshold" not in pets()


@pytest.mark.parametrize("threshold", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("classes", [2, 5, 12])
def test_metrics_survive_json_as_they_are(classes, threshold):
    names = [f"class {i}" for i in range(classes)]
    metrics = measure(*random_answers(30, classes), names, majority=0, threshold=threshold)
    assert json.loads(json.dumps(metrics, allow_nan=False)) == metrics


def test_without_photos_or_with_a_model_gone_astray_there_is_a_sentence():
    with pytest.raises(DataError, match=r"no photos .*\.$"):
        measure(np.empty((0, 2)), np.empty(0, int), PETS, majority=0)
    with pytest.raises(DataError, match=r"not all numbers.*\.$"):
        measure(np.full((1, 2), np.nan), np.array([0]), PETS, majority=0)


def test_text_says_what_counts_first_and_names_every_class_and_confusion():
    text = as_text(measure(*flowers(), FIVE, majority=2, threshold=0.9), FIVE)
    assert text.startswith("80.0% of 10 photos right (95% interval: 49 to 94%; always predicting roses: 40.0%)\n")
    assert all(f"\n  {name} " in text for name in FIVE)
    assert text.endswith("roses taken for tulips: 2")
    assert "Answered, with a threshold of 90%: 0.0%" in text


def test_text_keeps_odd_and_long_names_whole():
    names = [ODD, "[bold]:smile: " + "long name " * 20 + "end"]
    text = as_text(measure(PET_SCORES, PET_LABELS, names, majority=0), names)
    assert all(f"\n  {name} " in text for name in names)
    assert f"{ODD} taken for {names[1]}: 1" in text


# The report


@pytest.fixture
def photos(tmp_path):
    """Ten photos: one is missing, and one is not a photo."""
    paths = [tmp_path / f"{i}.jpg" for i in range(10)]
    for path in paths[:8]:
        path.write_bytes(picture("red", (90, 60)))
    paths[8].write_bytes(b"not a photo")
    return paths


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "report").mkdir()
    return tmp_path / "report"


HISTORY = {
    "loss": [1.0, 0.5, 0.3],
    "val_loss": [1.1, 0.6, 0.7],
    "accuracy": [0.5, 0.7, 0.9],
    "val_accuracy": [0.4, 0.7, 0.6],
}
FILES = {
    "calibration.png", "confusion-matrix.png", "learning-curves.png", "metrics.json",
    "most-confident-right.png", "most-confident-wrong.png", "report.html",
}  # fmt: skip


def write(folder, photos, classes=FIVE, answered=None, temperature=1.0, **options):
    scores, labels = answered or flowers()
    metrics = measure(scores, labels, classes, majority=2, temperature=temperature)
    report.write(folder, "Flowers", metrics, classes, scores, labels, photos, **options)
    return (folder / "report.html").read_text(encoding="utf-8")


def test_a_report_is_a_folder_of_a_page_its_pictures_and_the_numbers(folder, photos):
    page = write(folder, photos, history=HISTORY, facts={"Recipe": "fine-tuned MobileNetV2"})
    assert {path.name for path in folder.iterdir()} == FILES
    for path in folder.glob("*.png"):
        with Image.open(path) as image:
            assert image.format == "PNG"
        assert f'src="{path.name}" alt="' in page
    assert json.loads((folder / "metrics.json").read_text())["accuracy"] == 0.8
    assert "fine-tuned MobileNetV2" in page
    assert "80.0%" in page
    assert "40.0%" in page


def test_the_report_shows_the_interval_and_the_calibration_before_the_temperature(folder, photos, monkeypatch):
    shown = []
    save = plots.save
    monkeypatch.setattr(plots, "save", lambda figure, path: shown.append(figure) or save(figure, path))
    page = write(folder, photos, temperature=2.0)
    assert "95% interval: 49 to 94%" in page
    assert "Calibration error without the temperature" in page
    (legend,) = [axes.get_legend() for figure in shown for axes in figure.axes if axes.get_legend()]
    names = [text.get_text() for text in legend.get_texts()]
    assert names == ["perfect calibration", "before the temperature", "after the temperature"]


def test_a_report_needs_no_connection(folder, photos):
    page = write(folder, photos, history=HISTORY)
    assert "http:" not in page
    assert "https:" not in page
    assert "//" not in page


def test_without_wrong_answers_or_history_the_report_does_without_their_pictures(folder, photos):
    write(folder, photos, history=HISTORY)
    labels = np.arange(10) % 5
    page = write(folder, photos, answered=(answers(labels, FIVE), labels))
    missing = {"most-confident-wrong.png", "learning-curves.png"}
    assert {path.name for path in folder.iterdir()} == FILES - missing
    assert not any(name in page for name in missing)
    assert "mistakes" not in page


def test_odd_class_names_break_nothing(folder, photos):
    odd = [ODD, "שלום عربي", "two\nlines", "a_b^{c}$", "x" * 200, "\udcff", "\\frac", "🌷"]
    facts = {name: name for name in odd}
    page = write(folder, photos, odd, random_answers(10, 8), history=HISTORY, facts=facts)
    assert {path.name for path in folder.iterdir()} == FILES
    assert "<b>" not in page


def test_a_class_name_is_escaped(folder, photos):
    page = write(folder, photos, classes=[*FIVE[:4], ODD])
    assert "&lt;b&gt;$x_1$&lt;/b&gt; &amp; 日本" in page


def test_captions_tell_the_answer_and_the_truth_the_surest_first(photos):
    scores = np.array([[0.51, 0.49], [0.03, 0.97], [0.2, 0.8]])
    right, wrong = report.most_confident(scores, np.array([0, 0, 0]), PETS, photos[:3])
    assert right == [(photos[0], "cat 51%")]
    assert wrong == [(photos[1], "dog 97% (is: cat)"), (photos[2], "dog 80% (is: cat)")]


def test_a_gallery_shows_the_first_twelve_photos_that_can_be_read(tmp_path, photos, monkeypatch):
    shown = []
    monkeypatch.setattr(plots, "save", lambda figure, path: shown.append(figure) or True)
    assert plots.gallery([(path, path.name) for path in [*photos, *photos]], "Photos", tmp_path / "g.png")
    titles = [axes.get_title() for axes in shown[0].axes]
    assert titles == [*(f"{i}.jpg" for i in range(8)), *(f"{i}.jpg" for i in range(4))]


@pytest.mark.parametrize(
    "draw",
    [
        lambda path: plots.learning_curves({}, path),
        lambda path: plots.learning_curves({"loss": [], "val_loss": []}, path),
        lambda path: plots.confusion_matrix([[0, 0], [0, 0]], PETS, path),
        lambda path: plots.calibration([], [], path),
        lambda path: plots.gallery([], "None", path),
        lambda path: plots.gallery([(path, "not there")], "None", path),
    ],
)
def test_nothing_to_show_writes_no_file(tmp_path, draw):
    assert draw(tmp_path / "plot.png") is False
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("losses", "best"), [([3, 1, 2], 2), ([1], 1), ([2, 1, 1], 2), ([math.nan, 5], 2), ([math.nan], None), ([], None)]
)
def test_the_best_epoch_is_the_first_of_the_lowest_validation_loss(losses, best):
    assert plots.best_epoch(losses) == best


@pytest.mark.parametrize("history", [{"loss": [0.5]}, {"loss": [1, math.nan], "val_loss": [math.nan] * 2}, HISTORY])
def test_learning_curves_do_with_what_there_is(tmp_path, history):
    assert plots.learning_curves(history, tmp_path / "curves.png")


@pytest.mark.parametrize(("classes", "most"), [(2, 1000), (30, 2500), (300, 4000)])
def test_a_confusion_matrix_of_many_classes_stays_a_picture_of_some_size(tmp_path, classes, most):
    names = [f"class number {i}" for i in range(classes)]
    assert plots.confusion_matrix(np.eye(classes, dtype=int).tolist(), names, tmp_path / "matrix.png")
    with Image.open(tmp_path / "matrix.png") as image:
        assert max(image.size) <= most


def test_a_large_photo_is_shown_like_a_small_one(tmp_path):
    (tmp_path / "wide.png").write_bytes(encoded(textured((3000, 300))))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert plots.gallery([(tmp_path / "wide.png", "wide " * 40)], "One", tmp_path / "g.png")
