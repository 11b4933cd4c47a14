"""POST /positions/open, the same request many times at once: on real transactions."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import connection, connections
from django.test import Client

from core.security.scopes import Role
from positions.models import Position
from tests.portfolio.market import BTC


@pytest.fixture
def roles(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """The groups that a migration made, back after the flush that ends a test on real transactions."""
    yield
    with django_db_blocker.unblock():
        for role in Role:
            Group.objects.get_or_create(name=role.value)
        connections.close_all()


class TestTheSameRequestTwiceAtOnce:
    def test_books_one_fill(self, roles, transactional_db, market, corrector, now):
        market.fill("buy", "1", "60000", now=now)
        body = {"symbol": BTC, "quantity": "2", "price": "60000", "account": "main"}

        def send(_: int) -> int:
            try:
                answer = Client().post(
                    "/api/v1/positions/open",
                    body,
                    content_type="application/json",
                    headers=corrector | {"Idempotency-Key": "twice"},
                )
            finally:
                connection.close()
            return answer.status_code

        with ThreadPoolExecutor(4) as threads:
            codes = list(threads.map(send, range(8)))
        assert sorted(codes) == [200] * 7 + [201]
        assert Position.objects.get().quantity == 3
