import base64
import json

import pytest
from django.contrib.auth.models import Group, User
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.api.paging import page
from core.http.problems import Problem

pytestmark = pytest.mark.django_db


@pytest.fixture
def groups():
    Group.objects.all().delete()
    return [Group.objects.create(name=f"g{number:03}") for number in range(23)]


def walk(rows, *, order, limit):
    found, cursor = page(rows, order=order, cursor=None, limit=limit)
    while cursor:
        more, cursor = page(rows, order=order, cursor=cursor, limit=limit)
        found += more
    return found


class TestPages:
    @given(limit=st.integers(1, 30), descending=st.booleans())
    @settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_visit_every_row_once(self, groups, limit, descending):
        order = ("-name", "-id") if descending else ("name", "id")
        expected = groups[::-1] if descending else groups
        assert walk(Group.objects.all(), order=order, limit=limit) == expected

    def test_are_not_shifted_by_an_insert(self, groups):
        first, cursor = page(Group.objects.all(), order=("name",), cursor=None, limit=5)
        Group.objects.create(name="a first one")
        second, _ = page(Group.objects.all(), order=("name",), cursor=cursor, limit=5)
        assert first + second == groups[:10]

    def test_end_without_a_cursor(self, groups):
        assert page(Group.objects.all(), order=("id",), cursor=None, limit=23)[1] is None

    @pytest.mark.parametrize("cursor", ["x", "e30", "W10", "bnVsbA", "WyJuYW1lIiwgWyJ4Il1d", "é"])
    def test_refuse_a_cursor_that_was_not_given(self, groups, cursor):
        with pytest.raises(Problem) as caught:
            page(Group.objects.all(), order=("id",), cursor=cursor, limit=5)
        assert (caught.value.status, caught.value.code) == (400, "bad_cursor")

    @pytest.mark.parametrize("value", [None, 1, {}, "a\x00b", "\ud800"])
    def test_refuse_a_value_that_no_row_has(self, groups, value):
        cursor = base64.urlsafe_b64encode(json.dumps(["name", [value]]).encode()).decode()
        with pytest.raises(Problem, match="not one of this list"):
            page(Group.objects.all(), order=("name",), cursor=cursor, limit=5)

    @pytest.mark.parametrize("at", ["x", "0001-01-01T00:00:00+23:00", "9999-12-31T23:59:59-23:00"])
    def test_refuse_a_time_that_no_clock_shows(self, at):
        cursor = base64.urlsafe_b64encode(json.dumps(["date_joined", [at]]).encode()).decode()
        with pytest.raises(Problem, match="not one of this list"):
            page(User.objects.all(), order=("date_joined",), cursor=cursor, limit=5)

    def test_refuse_a_cursor_of_another_order(self, groups):
        _, cursor = page(Group.objects.all(), order=("name",), cursor=None, limit=5)
        with pytest.raises(Problem):
            page(Group.objects.all(), order=("id",), cursor=cursor, limit=5)

    @pytest.mark.parametrize("limit", [0, -1, 501])
    def test_have_a_sane_size(self, groups, limit):
        with pytest.raises(Problem, match="1 to 500"):
            page(Group.objects.all(), order=("id",), cursor=None, limit=limit)
