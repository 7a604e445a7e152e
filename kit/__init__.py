"""The helper package of the lab kit: records completion on the shared board, runs runbooks, reports each day.

A notebook needs one line of it: `rb = kit.runbook("D2", target)`.
"""

from kit.checks import above, at_least, at_most, below, between, contains, near, one_of

# After this import the name `kit.runbook` is the class, not its module: `kit.runbook("D2")` is what notebooks say.
from kit.runbook import Runbook as runbook

__all__ = [
    "above",
    "at_least",
    "at_most",
    "below",
    "between",
    "contains",
    "near",
    "one_of",
    "runbook",
]
