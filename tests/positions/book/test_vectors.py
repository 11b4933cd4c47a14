"""The book against numbers that nobody of us wrote: every case of every file (tests/data/vectors)."""

import pytest

from tests.positions.book.vector_report import FILES
from tests.positions.book.vectors import FOLDER, cases


class TestVectors:
    @pytest.mark.parametrize("name", FILES)
    def test_all_agree(self, name):
        if not (FOLDER / f"{name}.json").exists():
            pytest.skip(f"VECTORS_DIR has no {name}.json")
        report = FILES[name]()
        print(report)  # noqa: T201 - the table, with -s
        assert report.total == len(cases(name)) > 0
        assert report.agree == report.total, str(report)
