"""The cells that templates show facts in."""

from __future__ import annotations

import pytest
from django.template import Context, Engine, TemplateSyntaxError

ENGINE = Engine(libraries={"facts": "portfolio.templatetags.facts"})
ROW = {"quantity": "0.5", "quantity_step": "0.001", "fees": "1.5", "fees_title": '1.5 "<b>"', "unknown": None}


def shown(tag: str) -> str:
    return ENGINE.from_string("{% load facts %}" + tag).render(Context({"row": ROW}))


class TestACell:
    def test_shows_a_fact_to_its_step_and_names_both(self):
        assert shown('{% fact row "quantity" "quantity" step="quantity_step" %}') == (
            '<span data-f="quantity" data-as="quantity" data-step="quantity_step">0.500</span>'
        )

    def test_applies_its_rules_in_order_and_escapes_its_title(self):
        assert shown('{% fact row "fees" "negated signed" title="fees_title" %}') == (
            '<span data-f="fees" data-as="negated signed" data-title="fees_title" '
            'title="1.5 &quot;&lt;b&gt;&quot;">−1.50</span>'
        )

    def test_of_an_unknown_fact_is_a_dash_of_no_sign(self):
        assert shown('{% fact row "unknown" "signed" signed=True %}') == (
            '<span data-f="unknown" data-as="signed" data-sign="unknown">—</span>'
        )

    @pytest.mark.parametrize(
        "tag",
        [
            '{% fact row "fees" %}',
            '{% fact row "fees" "rounded" %}',
            '{% fact row "fees" "signed" steps="x" %}',
        ],
    )
    def test_that_is_written_wrongly_stops_the_template(self, tag):
        with pytest.raises(TemplateSyntaxError):
            shown(tag)
