"""One decimal context for the whole process: every thread, every asyncio task, every command."""

from __future__ import annotations

import decimal


def use_everywhere(context: decimal.Context) -> None:
    """Make `context` that of this thread and the default of all later ones.

    A thread, and an asyncio task in it, starts with a copy of `decimal.DefaultContext`. Call it before other
    threads calculate. The two contexts are changed in place, because tasks may share this thread's already.
    """
    for known in (decimal.DefaultContext, decimal.getcontext()):
        known.prec, known.rounding = context.prec, context.rounding
        known.Emin, known.Emax = context.Emin, context.Emax
        known.capitals, known.clamp = context.capitals, context.clamp
        known.clear_flags()
        for signal, trapped in context.traps.items():
            known.traps[signal] = trapped
