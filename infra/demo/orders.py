"""What a user of Temporal writes: an order's workflow and its activities; nothing here is ours.

An order is reserved (for some the warehouse is busy at first: attempts are repeated), packed (a
timer), waits until it is paid (a signal), is charged and shipped.
"""

from dataclasses import dataclass
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

QUEUE = "demo-orders"
PACKING = timedelta(seconds=1)
_BUSY_EVERY = {3: 1, 7: 2}
"""Each third order is refused once, each seventh twice."""
_AGAIN = RetryPolicy(initial_interval=timedelta(milliseconds=200))
_PATIENCE = timedelta(seconds=5)
"""Of one attempt: a task whose worker or server died on the way is given out again after it."""


@dataclass(frozen=True)
class Order:
    """A line of the file."""

    number: int
    item: str
    quantity: int
    cents: int


@dataclass(frozen=True)
class Receipt:
    """What became of an order."""

    number: int
    item: str
    cents: int
    attempts: int
    parcel: str


@activity.defn
async def reserve(order: Order) -> int:
    """Reserve what was ordered; return the attempt that succeeded."""
    attempt = activity.info().attempt
    refusals = max((n for every, n in _BUSY_EVERY.items() if order.number % every == 0), default=0)
    if attempt <= refusals:
        raise ApplicationError(
            f"the warehouse is busy (attempt {attempt})",
            type="Busy",
            category=ApplicationErrorCategory.BENIGN,  # expected: workers do not log it
        )
    return attempt


@activity.defn
async def charge(order: Order, card: str) -> int:
    """Charge the order; return the cents."""
    activity.logger.debug("charging %s", card)
    return order.quantity * order.cents


@activity.defn
async def ship(order: Order) -> str:
    """Hand the parcel over; return its number."""
    return f"PARCEL-{order.number:05}"


@workflow.defn(name="DemoOrder")
class DemoOrder:
    """One order, from reservation to parcel."""

    def __init__(self) -> None:
        """Nothing is paid yet."""
        self._card = ""

    @workflow.run
    async def run(self, order: Order) -> Receipt:
        """Return the receipt."""
        attempts = await workflow.execute_activity(
            reserve, order, start_to_close_timeout=_PATIENCE, retry_policy=_AGAIN
        )
        await workflow.sleep(PACKING)
        await workflow.wait_condition(lambda: self._card != "")
        cents = await workflow.execute_activity(
            charge, args=[order, self._card], start_to_close_timeout=_PATIENCE
        )
        parcel = await workflow.execute_activity(ship, order, start_to_close_timeout=_PATIENCE)
        return Receipt(order.number, order.item, cents, attempts, parcel)

    @workflow.signal
    def paid(self, card: str) -> None:
        """The customer has paid."""
        self._card = card
