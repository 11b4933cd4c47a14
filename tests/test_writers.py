"""The detection of writes can fail: each form in which a row may be written is seen, and none is made up."""

import pytest

from tests.writers import written, written_by_sql

IMPORT = "from positions.models import Account, Mark, Position as Row, FeedCursor\n"

WRITES = {
    "a chain": ("Mark.objects.filter(pk=1).update(price=2)", "Mark"),
    "an alias of an import": ("Row.objects.update(status='OPEN')", "Position"),
    "a module of models": ("from positions import models\nmodels.Mark.objects.all().delete()", "Mark"),
    "an alias of a module": ("import positions.models as db\ndb.Mark.objects.create(price=1)", "Mark"),
    "an instance from get": ("row = Row.objects.get(pk=1)\nrow.save()", "Position"),
    "an instance from first": (
        "row = Row.objects.filter(pk=1).first()\nrow.save(update_fields=['x'])",
        "Position",
    ),
    "an instance that was built": ("row = Mark(price=1)\nrow.save()", "Mark"),
    "an instance built and saved at once": ("Mark(price=1).save()", "Mark"),
    "an instance from a helper": ("row = get_object_or_404(Account, pk=1)\nrow.delete()", "Account"),
    "an annotated argument": ("def f(account: Account) -> None:\n    account.save()", "Account"),
    "an annotation that may be None": ("def f(account: Account | None):\n    account.save()", "Account"),
    "an annotation as text": ("def f(account: 'Account'):\n    account.save()", "Account"),
    "an annotated variable": ("row: Row = find()\nrow.save()", "Position"),
    "an annotated result": ("def f() -> Row: ...\nf().save()", "Position"),
    "an annotated attribute": (
        "class A:\n    row: Row\n    def f(self):\n        self.row.save()",
        "Position",
    ),
    "an assigned attribute": (
        "class A:\n    def f(self):\n        self.row = Row.objects.get()\n        self.row.save()",
        "Position",
    ),
    "rows kept in a variable": ("rows = Mark.objects.filter(pk=1)\nrows.filter(x=1).update(price=2)", "Mark"),
    "a manager kept in a variable": ("marks = Mark.objects\nmarks.create(price=2)", "Mark"),
    "a loop": ("for row in Row.objects.all():\n    row.delete()", "Position"),
    "a loop over a list": ("def f(rows: list[Row]):\n    for row in rows:\n        row.save()", "Position"),
    "a loop over a dict": (
        "def f(rows: dict[int, Row]):\n    for row in rows.values():\n        row.save()",
        "Position",
    ),
    "an item of a list": ("rows = list(Row.objects.all())\nrows[0].save()", "Position"),
    "a comprehension": ("[row.save() for row in Row.objects.all()]", "Position"),
    "an assignment in a condition": ("if row := Row.objects.first():\n    row.save()", "Position"),
    "a relation": ("def f(row: Row):\n    row.account.save()", "Account"),
    "a relation backwards": ("def f(account: Account):\n    account.cursors.all().delete()", "FeedCursor"),
    "a bulk insert": ("Mark.objects.bulk_create([])", "Mark"),
    "a bulk update": ("Row.objects.bulk_update(rows, ['status'])", "Position"),
    "an upsert": ("Mark.objects.update_or_create(pk=1)", "Mark"),
    "an asynchronous call": ("async def f():\n    await Mark.objects.acreate(price=1)", "Mark"),
    "a method called on the class": ("Row.save(row)", "Position"),
    "a method handed to somebody": ("def f(account: Account):\n    run(account.save)", "Account"),
}
READS = {
    "a read": "row = Mark.objects.get()\nlist(Mark.objects.filter(price__gt=1).values_list('pk'))",
    "another class of the same name": "from positions.book import Position\nPosition().update()",
    "a JSON field of a row": "def f(account: Account):\n    account.options.update(x=1)",
    "a dict of rows": "def f(rows: dict[int, Row]):\n    rows.update({})",
    "a set of what rows contain": "seen = set(Row.objects.values_list('pk'))\nseen.update([1])",
    "a variable that means something else by then": "row = Row.objects.get()\nrow = {}\nrow.update(x=1)",
    "the same name in another function": "def f(row: Row): ...\ndef g(row):\n    row.update()",
}


class TestTheDetectionOfWrites:
    @pytest.mark.parametrize("form", WRITES)
    def test_sees(self, form):
        source, model = WRITES[form]
        assert [name for name, _ in written(IMPORT + source)] == [model]

    @pytest.mark.parametrize("form", READS)
    def test_is_quiet_about(self, form):
        assert written(IMPORT + READS[form]) == []

    @pytest.mark.parametrize(
        "verb", ["INSERT INTO", "UPDATE", "DELETE FROM", "DELETE FROM ONLY", "COPY", "TRUNCATE", "MERGE INTO"]
    )
    def test_sees_the_statement(self, verb):
        [(model, _)] = written_by_sql(f"{verb} positions_mark SET price = 1")
        assert model == "Mark"

    def test_is_quiet_about_a_query(self):
        assert list(written_by_sql("SELECT * FROM positions_mark FOR UPDATE")) == []
