"""The helper package of the lab kit: records completion on the shared board, runs runbooks, reports each day."""
