"""The examples of docs/performance.md are true."""

import doctest
from pathlib import Path

DOCS = Path(__file__).parents[3] / "docs"


def test_the_examples_of_the_page_are_true():
    found = doctest.testfile(str(DOCS / "performance.md"), module_relative=False)
    assert found.attempted > 0
    assert found.failed == 0
