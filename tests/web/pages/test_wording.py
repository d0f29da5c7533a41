"""The wording of outcomes."""

import pytest

from classifier.contract import Prediction
from web.pages.wording import percent, printable, readable, sentence


@pytest.mark.parametrize(
    ("label", "named"),
    [
        ("tabby", "a tabby"),
        ("Egyptian_cat", "an Egyptian cat"),
        ("European_fire_salamander", "a European fire salamander"),
        ("hourglass", "an hourglass"),
        ("unicycle", "a unicycle"),
        ("umbrella", "an umbrella"),
        ("jack-o'-lantern", "a jack-o'-lantern"),
        ("CD_player", "a CD player"),
    ],
)
def test_the_sentence_reads_as_english_does(label, named):
    assert sentence(Prediction(0, "n0", label, 0.5)) == f"The image you uploaded is {named} (50.00%)"


@pytest.mark.parametrize(
    ("label", "named"),
    [
        ("tulip", "a tulip"),
        ("Umbrella", "an Umbrella"),
        ("circle", "a circle"),
        ("ripe_banana", "a ripe banana"),
        ("tomato leaf", "a tomato leaf"),
    ],
)
def test_an_own_class_that_is_a_singular_noun_has_an_article(label, named):
    assert sentence(Prediction(0, "", label, 0.971)) == f"The image you uploaded is {named} (97.10%)"


WITHOUT_ARTICLE = [
    *("roses", "sunflowers", "dog breeds", "mice", "people"),
    *("without_mask", "with_mask", "no cat", "not_a_dog", "two cats", "cats and dogs", "cat or dog", "other", "1 cat"),
    *("NORMAL", "PNEUMONIA", "COVID-19", "healthy", "ripe", "defective", "damaged", "benign", "positive", "red"),
    *("cardboard", "glass", "rice", "fire", "Apple___Black_rot", "Pepper__bell"),
    *("8", "11", "0 cat", "3.5", "yes", "_", "猫"),
]


@pytest.mark.parametrize("label", WITHOUT_ARTICLE)
def test_any_other_own_class_has_none(label):
    assert sentence(Prediction(0, "", label, 0.971)) == f"This looks like: {readable(label)} (97.10%)"


@pytest.mark.parametrize("label", ["قط", "כלב 2", "cat (قط)"])
def test_a_label_from_right_to_left_leaves_the_percentage_alone(label):
    assert sentence(Prediction(0, "", label, 0.971)) == f"This looks like: \u2068{label}\u2069 (97.10%)"


def test_what_labels_call_an_id_need_not_be_one_of_wordnet():
    assert sentence(Prediction(0, "0", "roses", 0.971)) == "This looks like: roses (97.10%)"


@pytest.mark.parametrize(("score", "text"), [(0, "0.00%"), (1, "100.00%"), (0.47306, "47.31%"), (1e-9, "0.00%")])
def test_percent_has_two_decimals(score, text):
    assert percent(score) == text


def test_readable():
    assert readable("black-and-tan_coonhound") == "black-and-tan coonhound"


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("photo.jpg", "photo.jpg"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\photo.jpg", "photo.jpg"),
        ("a\0b\r\nc\u202egpj.exe", "abcgpj.exe"),
        ("x" * 5000, "x" * 255),
        ("", ""),
    ],
)
def test_file_names_are_made_printable(sent, shown):
    assert printable(sent) == shown
