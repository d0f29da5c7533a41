"""One rule each for shares, quantities, names and errors."""

import pytest

from classifier.text import is_class_name, one_line, percent, printable, quantity


@pytest.mark.parametrize(
    ("share", "decimals", "text"), [(0.473, 1, "47.3%"), (1, 1, "100.0%"), (0.4731, 2, "47.31%"), (0.5, 0, "50%")]
)
def test_a_share_is_written_without_a_space(share, decimals, text):
    assert percent(share, decimals) == text


@pytest.mark.parametrize(
    ("number", "noun", "text"),
    [(1, "photo", "1 photo"), (0, "photo", "0 photos"), (1024, "photo", "1,024 photos"), (2, "class", "2 classes")],
)
def test_a_noun_agrees_with_its_number(number, noun, text):
    assert quantity(number, noun) == text


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("été.jpg", "été.jpg"),
        ("a\x1b[31mb", "a?[31mb"),
        ("a\nb", "a?b"),
        (b"caf\xe9".decode(errors="surrogateescape"), "caf?"),
    ],
)
def test_a_printable_name_drives_no_terminal_and_is_valid_utf_8(name, shown):
    assert printable(name) == shown
    assert printable(name).encode()


def test_the_replacement_can_be_chosen():
    assert printable("a\tb", " ") == "a b"
    assert printable("a\tb", "") == "ab"


@pytest.mark.parametrize(("name", "expected"), [("cat", True), (" ", False), ("", False), ("a\nb", False), (7, False)])
def test_a_class_name_can_be_shown(name, expected):
    assert is_class_name(name) is expected


@pytest.mark.parametrize(("error", "line"), [(ValueError("a\nb"), "a"), (ValueError(), "ValueError")])
def test_an_error_on_one_line(error, line):
    assert one_line(error) == line
