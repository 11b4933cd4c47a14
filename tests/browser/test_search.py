"""The search of the board: a burst of frames costs as much as the rows it changes, however many there are."""

import base64
from pathlib import Path

import pytest

pytestmark = pytest.mark.browser

SEARCH_JS = Path(__file__).resolve().parents[2] / "static/js/search.js"
MATCHED = """async ([source, count, changes]) => {
  const { RowSearch } = await import("data:text/javascript;base64," + source);
  const matched = [];
  const search = new RowSearch((id, matches) => matched.push([id, matches]));
  for (let id = 0; id < count; id += 1) search.put(id, `COIN${id} main Long`);
  search.search("coin1 main");
  const before = search.matching;
  matched.length = 0;
  for (const [id, text] of changes) search.put(id, text);
  return { before, matched, matching: search.matching };
}"""


def after(page, *changes):
    source = base64.b64encode(SEARCH_JS.read_bytes()).decode()
    return page.evaluate(MATCHED, [source, 1000, list(changes)])


class TestABurstOverAThousandRows:
    def test_matches_again_only_the_rows_whose_text_changed(self, page):
        result = after(page, [1, "COIN1 main Short"], [2, "COIN2 main Long"], [3, "COIN1x main Long"])
        assert result["matched"] == [[1, True], [3, True]]
        assert (result["before"], result["matching"]) == (111, 112)  # 1, 10 to 19, 100 to 199

    def test_of_prices_matches_no_row_again(self, page):
        result = after(page, *[[number, f"COIN{number} main Long"] for number in range(1000)])
        assert result["matched"] == []


class TestARow:
    def test_that_stops_matching_is_hidden_and_no_longer_counted(self, page):
        result = after(page, [1, "COIN1 other Long"])
        assert (result["matched"], result["matching"]) == ([[1, False]], 110)
