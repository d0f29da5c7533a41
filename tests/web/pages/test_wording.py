"""The wording of outcomes."""

import pytest

from classifier.serving.engine import Prediction
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
