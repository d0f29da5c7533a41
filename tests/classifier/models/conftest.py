"""What the tests of imported models share."""

import pytest


@pytest.fixture
def labels(tmp_path):
    """Write a text file with as many names as asked for."""

    def write(count):
        path = tmp_path / "labels.txt"
        path.write_text("".join(f"class {i}\n" for i in range(count)))
        return path

    return write
