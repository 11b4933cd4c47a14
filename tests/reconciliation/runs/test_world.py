"""Minutes of trading with faults at random: all are found, nothing else is, and the book ends up true."""

import sys

import pytest

from tests.reconciliation.world import BUSY, CALM, POLLED, World

pytestmark = pytest.mark.django_db


def test_every_fault_is_found_nothing_else_is_and_the_book_is_true_in_the_end(stage, capsys):
    world = World(stage, seed=3, kinds=(CALM, BUSY, POLLED), fault_every=45)
    world.live(300)
    world.finish()
    with capsys.disabled():
        sys.stdout.write(f"\n{world.told()}\n{world.fills} fills, {world.runs} runs, {world.decoys} decoys\n")
    assert len(world.faults) >= 6
    assert not world.false_alarms
    assert not [fault for fault in world.faults if fault.found is None], world.told()
    assert not world.unsettled()
    assert not world.untrue()
