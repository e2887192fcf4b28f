"""The naive model: what the laws say, computed anew from the list of facts on every question.

It keeps the accepted facts, what was decided when they were folded (the contract that a burn meant), the identities
and the waiting facts; nothing else. Every answer sweeps over all instants of the customer. `known` sorts the facts by
what they speak of, `seats` folds operations, `earning` finds slices, `account` is the sweep of L13, `charges` is L20,
`intake` is the look at a fact before it counts.

Where the laws and ledger/DECISIONS.md leave room, the model reads them so:

"""

from tests.ledger.model.model import Model

__all__ = ["Model"]
