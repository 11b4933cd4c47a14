"""What a simulated venue goes through: regimes of its prices, and faults at their times."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from simulator.engine.market import REGIMES
from simulator.engine.simulation import Phase
from simulator.serving import Refused

SCENARIOS: dict[str, tuple[Phase, ...]] = {
    "calm": (),
    "trend": (Phase("trend"),),
    "crash": (Phase("calm", 60), Phase("crash", 240), Phase("trend", 300)),
}


def read_scenario(name: str) -> dict[str, Any]:
    """A built-in scenario, or a file: {"traders", "phases": [{regime, seconds}], "faults": [{at, …}]}.

    Raises Refused.
    """
    if name in SCENARIOS:
        return {"phases": SCENARIOS[name], "faults": []}
    try:
        document = json.loads(Path(name).read_text())
        phases = tuple(Phase(one["regime"], one.get("seconds")) for one in document.get("phases", []))
        faults = document.get("faults", [])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Refused(f"scenario {name} cannot be read: {error!r}") from error
    if any(phase.regime not in REGIMES for phase in phases):
        raise Refused(f"scenario {name}: a regime is one of {', '.join(REGIMES)}")
    return {**document, "phases": phases, "faults": faults}
