"""A living event that nobody has to live: people in the plan's workstreams do its cards over its days.

A simulation with a clock of its own. What comes out are events as the journal holds them, from start to end of the
event: the same for the same plan, seed and number of people. Nothing is executed, and nothing reaches AWS.
"""

from __future__ import annotations

from collections.abc import Sequence

from kit import journal
from kit import plan as plans
from kit.demo.rites import Rites
from kit.demo.work import Work
from kit.demo.world import Person, World, people

__all__ = ["Person", "events", "people"]


def events(
    plan: plans.Plan, seed: int = 1, everybody: Sequence[Person] = (), at_least: int = 0
) -> list[journal.Event]:
    """Everything that happens at the event, oldest first.

    Args:
        plan: the event; with teams, each does the cards of its own.
        seed: the same seed, the same event.
        everybody: who is there; default forty people.
        at_least: where fewer events would come out, people step through runbooks again until there are so many.
    """
    world = World(plan, seed, everybody or people(plan))
    Rites(world).plan()
    Work(world).plan()
    world.play()
    world.fill(at_least)
    return world.written()
