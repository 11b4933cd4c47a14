import structlog
from celery import shared_task

from core.tracing.trace import current_trace_id

seen: list[dict[str, object]] = []


@shared_task(name="tests.note_context")
def note_context() -> None:
    seen.append(structlog.contextvars.get_contextvars())


class TestATraceId:
    def test_comes_back_as_it_was_sent(self, client, db):
        answer = client.get("/health/live", headers={"X-Request-ID": "order-7f3a.9"})
        assert answer["X-Request-ID"] == "order-7f3a.9"

    def test_is_made_where_none_or_nonsense_was_sent(self, client, db):
        for sent in ("", "short", "x" * 65, "with space inside", "line\tbreak-here"):
            made = client.get("/health/live", headers={"X-Request-ID": sent})["X-Request-ID"]
            assert made != sent
            assert len(made) == 32

    def test_travels_into_a_task(self, monkeypatch):
        structlog.contextvars.bind_contextvars(trace_id="from-the-request")
        sent = {}
        monkeypatch.setattr(
            "kombu.messaging.Producer.publish", lambda self, body, headers=None, **rest: sent.update(headers)
        )
        note_context.apply_async()
        structlog.contextvars.clear_contextvars()
        assert sent["plumbline_trace_id"] == "from-the-request"

    def test_stays_the_same_within_one_piece_of_work(self):
        structlog.contextvars.clear_contextvars()
        assert current_trace_id() == current_trace_id()
