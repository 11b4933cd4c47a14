"""Schemathesis: every operation with what its schema allows and forbids, by every role, also in turn."""

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test
from schemathesis.checks import not_a_server_error

from config.api import api
from core.security.scopes import SCOPES_OF_ROLE, Role
from positions import accounts

pytestmark = pytest.mark.django_db

SCHEMA = schemathesis.openapi.from_dict(api.get_openapi_schema())
SCHEMA.app = get_wsgi_application()
MODES = tuple(schemathesis.GenerationMode)
OPERATIONS = [found.ok() for found in SCHEMA.get_all_operations()]
FEW = settings(
    max_examples=6, deadline=None, derandomize=True, database=None, phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)  # fmt: skip


@pytest.fixture(autouse=True)
def _one_connection():
    """Let requests share the test's transaction, as Django's own test client does."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture(params=list(Role))
def headers(request, api_key, now):
    accounts.manual(now=now)  # so that there is something to act on
    return api_key(*SCOPES_OF_ROLE[request.param], tier="unlimited")


class TestAnOperation:
    @pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: one.label)
    def test_never_answers_500(self, operation, headers):
        @FEW
        @given(st.one_of(*(operation.as_strategy(generation_mode=mode) for mode in MODES)))
        def call(case):
            case.call_and_validate(headers=headers, checks=[not_a_server_error])

        call()


class TestOneOperationAfterAnother:
    def test_never_answers_500(self, headers):
        class Machine(SCHEMA.as_state_machine()):
            def get_call_kwargs(self, case):
                return {"headers": headers}

            def validate_response(self, response, case, **_):
                case.validate_response(response, checks=[not_a_server_error])

        run_state_machine_as_test(Machine, settings=settings(FEW, stateful_step_count=8))
