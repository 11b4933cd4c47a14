"""How likely each of a case's causes is beside the others, in whole percents that add up to 100. Pure.

Note [Shares]: a rule's score says how sure its own evidence makes it, so scores are no parts of one whole:
0.95 and 0.6 may both be found. The likeliest keeps its score, and the others share what it leaves, in
proportion. Where all of them together are less than sure, each is scaled up: something was the cause.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction


def percents(scores: Sequence[Decimal]) -> list[int]:
    """Return the share of each score (0 to 1), the highest first, in their order. See Note [Shares].

    Rounded by the largest remainder, so that they add up to exactly 100; empty for none. A score is above 0.
    """
    if not scores:
        return []
    # Fractions, because a third has no exact Decimal: equal scores must have equal remainders.
    exact_scores = [Fraction(score) for score in scores]
    total = sum(exact_scores, Fraction(0))
    first = max(exact_scores[0], exact_scores[0] / total)
    left = (1 - first) / (total - exact_scores[0]) if len(scores) > 1 else Fraction(0)
    exact = [100 * first, *(100 * score * left for score in exact_scores[1:])]
    whole = [int(one) for one in exact]
    # What rounding down left goes to the largest remainders; of equal ones to the likelier, which come first.
    owed = sorted(range(len(exact)), key=lambda index: (whole[index] - exact[index], index))
    for index in owed[: 100 - sum(whole)]:
        whole[index] += 1
    return whole
