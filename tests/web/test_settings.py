"""The settings are one table, parsed strictly and documented as it is."""

import re
from pathlib import Path

import pytest

from classifier.errors import StartupError
from classifier.options import Limits, ModelOptions, shown_default
from web.settings import ROOT, Settings


def test_defaults():
    assert Settings.from_environ({}) == Settings()
    assert Settings().model == "vgg16"
    assert Settings().uploads == ROOT / "uploads"


def test_values_come_from_the_environment():
    settings = Settings.from_environ({"CLASSIFIER_TOP": "3", "CLASSIFIER_KEEP_HOURS": "0.5", "CLASSIFIER_MODEL": "x"})
    assert (settings.top, settings.keep_hours, settings.model) == (3, 0.5, "x")


def test_an_empty_variable_counts_as_unset():
    assert Settings.from_environ({"CLASSIFIER_LABELS": "", "CLASSIFIER_TOP": ""}) == Settings()


def test_given_paths_are_of_the_working_directory(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert Settings.from_environ({"CLASSIFIER_UPLOADS": "here"}).uploads == tmp_path / "here"


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("TOP", "many", "a whole number from 1 to 1000"),
        ("TOP", "0", "a whole number from 1 to 1000"),
        ("TOP", "2.5", "a whole number from 1 to 1000"),
        ("RESIZE", "squeeze", "crop or stretch"),
        ("KEEP_HOURS", "-1", "a number from 0 to"),
        ("KEEP_HOURS", "nan", "a number from 0 to"),
    ],
)
def test_a_bad_value_is_told_with_what_was_expected(name, value, expected):
    with pytest.raises(StartupError, match=f"^CLASSIFIER_{name} must be {expected}.*, not '{value}'"):
        Settings.from_environ({f"CLASSIFIER_{name}": value})


def test_a_misspelt_name_is_warned_about(caplog):
    assert Settings.from_environ({"CLASSIFIER_MODLE": "x", "PATH": "y"}) == Settings()
    assert "CLASSIFIER_MODLE is no setting (did you mean CLASSIFIER_MODEL?)" in caplog.text


def test_options_and_limits_are_handed_over_whole():
    settings = Settings.from_environ({"CLASSIFIER_MODEL": "x", "CLASSIFIER_RESIZE": "stretch", "CLASSIFIER_TOP": "3"})
    assert settings.model_options == ModelOptions(model="x", resize="stretch")
    assert settings.limits == Limits(top=3)


def test_settings_made_by_hand_do_not_read_the_environment(monkeypatch):
    monkeypatch.setenv("CLASSIFIER_TOP", "3")
    assert Settings(max_files=2).top == Limits().top


def test_the_documentation_has_the_same_table():
    rows = re.findall(
        r"^\| `CLASSIFIER_(\w+)` \| `(.*?)` \| (.*) \|$", Path(ROOT, "docs", "configuration.md").read_text(), re.M
    )
    assert rows == [(name.upper(), shown_default(row), row.description) for name, row in Settings.model_fields.items()]
