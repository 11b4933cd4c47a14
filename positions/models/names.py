"""What people call an instrument: one name everywhere, beside which pages give the venue's own in a title."""

from __future__ import annotations

from positions.models import Instrument, InstrumentKind


def display_name(instrument: Instrument) -> str:
    """Return BTC-PERP, BTC-27MAR26, BTC/USDC of a pair, BTC of a coin that is held."""
    if instrument.kind == InstrumentKind.ASSET:
        return instrument.base
    if instrument.kind == InstrumentKind.SPOT:
        return f"{instrument.base}/{instrument.quote}"
    ends = f"{instrument.expires_at:%d%b%y}".upper() if instrument.expires_at else "PERP"
    return f"{instrument.base}-{ends}"
