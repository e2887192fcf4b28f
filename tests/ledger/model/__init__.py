"""The naive model: what the laws say, computed anew from the list of facts on every question.

It keeps the accepted facts, what was decided when they were folded (the contract that a burn meant), the identities
and the waiting facts; nothing else. Every answer sweeps over all instants of the customer. `known` sorts the facts by
what they speak of, `seats` folds operations, `earning` finds slices, `account` is the sweep of L13, `charges` is L20,
`intake` is the look at a fact before it counts, `model` the face.

Where the laws and ledger/DECISIONS.md leave room, the model reads them so:

Seats and settings

- M1  `Counts` of a subscription by quantity: all of it is unassigned (L11's letter: total = assigned + unassigned).
- M2  A seat leaves by a removal if it was to be seen before the instant, isn't assigned after it, and the last
      operation that took it away there was a removal (else it left by a move, which never revokes); an operation
      outside the subscription's life revokes, gives back and carries nothing. Within one instant a carried move after
      a removal of the same seat finds what step 1 left.
- M3  A definition without an end says nothing about ends: an `.ended` of an earlier `time` counts all the same.
      FOREVER in an `.ended` or `.updated` is an end like others and wins if it is the latest by (time, id).
- M4  Of several updates of one field of a subscription that have started, the latest by (time, id) counts, whatever
      their `starting_at` (L16's letter). The conversion is the earliest `mode: seats`. `mode: quantity` is refused
      where it has seats at that instant and otherwise does nothing.
- M5  A feature code names one subscription of a contract for ever, also after it was changed or the subscription ended.
      `individual` looks at the subscription's mode at the credit's `starting_at` (within a new contract: as brought).
- M6  An edit touches the subscriptions that its operations name; its own only if an operation falls back on it, or if
      there is no operation at all (then `previous_quantity` and `quantity` are those about its `time`). Looks at an
      edit: `missing_field` (names none), `version_stale`, `wrong_mode`, then counts; subscriptions in the order of
      their mention, each at its first broken instant. An unknown name in `expected_version` is `unknown_subscription`.

Facts

- M7  A void of a burn is `too_late` if the burn's `time` is beyond the bound (L16: the first instant that it can
      change), looked at once the burn is known, from the void's arrival; D23 doesn't list it.
      Ends and voids that replace an earlier one count back to their own instant only (D23), not to the one they lift.
- M8  "The slice that started last" is looked for at each seat by itself, and counts slices that were carried there
      (for a void: before that instant; for an adjustment: up to it); whether one was voided since doesn't matter.
- M9  L5 between grants of one id: the contract's before the customer's; "where they came from" is the list of seats
      that it was carried from, own ones first.
- M10 A void addresses what sits at the seat it names (none named: any seat) after the move that brought it there
      (`voided_at` > the move); so one that names `from` doesn't follow a carried grant. A void at the grant's own end
      changes nothing: it expires.
- M11 An adjustment without `seat_id` of a grant to a seat follows it through carried moves. Of several holdings at one
      seat (an own slice and one moved in) the one that ranks first takes it all. `seat_id` on a pool's grant: lapses.
- M12 Debts (step 5): contracts by id, in each the pool first, then seats by (seat_id, seat_group_key). Outside its
      contract's window a debtor draws from nothing, the customer's pool included.
- M15 Waiting facts are tried again after every fold that counts: always the first to arrive that can be decided, from
      the front again after each. A wait is over when `now` > arrival + wait. An ambiguous burn is then refused with
      `wait_over`, too; contracts with an end at or before their start take part in "ended last". "Ended last": latest
      end, then latest start, then least id; "next to start": earliest start, then least id. What `advance` folds
      settles others, which stand behind it in its answer. `waiting_full` is looked at after what is missing.
      A contract that brings a recurring credit for a subscription that it doesn't bring is refused
      (`unknown_subscription`), it could never stop waiting. An unknown recurring credit is `unknown_grant`.
- M18 Identities of burns are forgotten exactly when arrival > max(time, first arrival) + lateness; until then also of
      refused ones. Those of other topics never (D25).

- M19 The seat group key is said with the first seats: an update may say another only where it makes them (L6), else it is
      refused as `wrong_mode` after the looks at its `mode`; the key counts whenever they begin.

Answers

- M13 An entry with neither `amount` nor `beside` is not written (a slice of 0, an empty move, a reset of nothing). At
      one instant one `granted` entry for a slice: its start and its rise together. `balance_after` is the scope's.
- M14 Order of entries: instants; L13's steps; within a step ends before revocations, resets by id, moves by the order of
      operations, then what is given back, then starts and rises, then adjustments by id; each by (credit type,
      contract, pool first, group key, seat, grant, slice, path); debts and burns as they were paid, overage last.
      Causes: the fact that did it; what a grant does by itself (start, rise, recurrence, expiry also by a contract's
      end, paying a debt) has the fact that granted it (of a slice: that added the credit).
      `debt_paid` stands in the scope of the grant that pays. A debt carried along: `moved_out` and `moved_in` without
      a grant, amount 0, beside -debt and +debt. Lapsed: beside is the signed rest. `overage`: beside is what no grant
      covered, also outside the window. A burn that is voided has no entry.
- M16 A row in `balances`: every scope with a started grant, a burn, or a debt carried to it; an assigned seat that has
      none in any credit type gets one of `credits`. Filters then choose among the rows; `contract_id` given leaves
      the customer's pool out. `granted` after a give-back or a move is what it was; a negative adjustment lowers it
      by what it took. `amount` of a slice: all that it was given by its start and rises so far.
      Under `charge` every reset of the contract starts the overage anew, `preserve_overage` or not.
- M17 The first window of a curve holds everything before it; `burned` includes paid debts.
- M19 `next_due` looks 400 days ahead at most; an instant counts if a window that isn't empty starts or ends, a grant
      recurs, a slice is raised, a removal revokes, a return gives back, visible counts or holders change, a reset
      stands, a billing period starts (within life); moves do as changes of holders; adjustments and burns don't.
- M20 `paid` is the highest of max(total, minimum in force) since the period began, and never falls within it, not even
      when the minimum does; 0 before the life and once the billing period in which the life ended is over.
      A change of `billing_period` starts no period; the points of the grid in force do. A charge due with the next
      period has that instant as its time, with price and rounding in force then and everything else as at the rise.
      `period_from` is cut by the start of the life, `period` is the whole grid period.
"""

from tests.ledger.model.model import Model

__all__ = ["Model"]
