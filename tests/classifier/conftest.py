"""Machines with and without a graphics card, for the tests of what runs on it."""

import pytest
from support import cards


@pytest.fixture
def h200(monkeypatch, tmp_path):
    cards.pretend(monkeypatch, tmp_path, cards.H200)


@pytest.fixture
def no_card(monkeypatch, tmp_path):
    cards.pretend(monkeypatch, tmp_path)
