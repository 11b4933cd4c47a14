"""Seeded cases of every cause, through the simulated venue: the likeliest cause named is the right one."""

import os
import sys

import pytest

from tests.reconciliation.injections import INJECTIONS, hit_rate, judged, table

pytestmark = pytest.mark.django_db
# All 200 are judged by `bin/bench reconcile`; here three of each cause.
SEEDS = range(int(os.environ.get("RECONCILIATION_CASES", 3 * len(INJECTIONS))))


def test_the_likeliest_cause_is_right_in_nine_of_ten_cases(stage, capsys):
    results = [judged(stage, seed=seed) for seed in SEEDS]
    with capsys.disabled():
        sys.stdout.write(f"\n{table(results)}\nright: {hit_rate(results):.1%} of {len(results)}\n")
    wrong = [(one.seed, one.right.cause.value, one.ranked) for one in results if one.said != one.right.cause]
    assert hit_rate(results) >= 0.9, wrong
