"""Run the demo against a server that runs: `make demo`, beside `make dev`.

The server may be killed and started again meanwhile: nothing is lost and nothing happens twice.
"""

import argparse
import asyncio
import json
import sys
import uuid
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from temporalio.client import Client, WorkflowHandle
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import Worker

from infra.demo.kafka_orders import KafkaOrders, NotProducedError
from infra.demo.orders import QUEUE, DemoOrder, Order, Receipt, charge, reserve, ship
from infra.folder import broker_address_in

_FILE: Final = Path(__file__).parent / "orders.jsonl"
_FOLDER: Final = Path("data/dev")
_AWAY: Final = (RPCStatusCode.UNAVAILABLE, RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED)
_PATIENCE_S: Final = 120.0
_PAUSE_S: Final = 0.5
_AT_ONCE: Final = 20

T = TypeVar("T")
Handle = WorkflowHandle[DemoOrder, Receipt]


async def run(address: str, kafka: str, orders: Sequence[Order]) -> int:
    """Have the orders processed, show it, return the exit code."""
    show = Progress(len(orders))
    client = await persistently(lambda: Client.connect(address))
    batch = uuid.uuid4().hex[:6]
    ids = {order: f"demo-{batch}-{order.number:04}" for order in orders}
    over_grpc, over_kafka = orders[::2], orders[1::2]
    activities: Sequence[Callable[..., Any]] = [reserve, charge, ship]
    async with Worker(client, task_queue=QUEUE, workflows=[DemoOrder], activities=activities):
        showing = asyncio.create_task(show.live())
        try:
            await asyncio.gather(
                _by_kafka(KafkaOrders(kafka), {order: ids[order] for order in over_kafka}, show),
                _by_grpc(client, {order: ids[order] for order in over_grpc}, show),
            )
            receipts = await asyncio.gather(*(_receipt(client, ids[o], show) for o in orders))
        finally:
            showing.cancel()
    show.line()
    sys.stdout.write("\n" + table(receipts, {order.number for order in over_kafka}))
    missing = {order.number for order in orders} - {receipt.number for receipt in receipts}
    return 1 if missing else 0


async def _by_grpc(client: Client, ids: dict[Order, str], show: "Progress") -> None:
    at_once = asyncio.Semaphore(_AT_ONCE)

    async def start(order: Order, workflow_id: str) -> None:
        try:
            await client.start_workflow(DemoOrder.run, order, id=workflow_id, task_queue=QUEUE)
        except WorkflowAlreadyStartedError:
            return  # the first try was taken, but its answer did not reach us

    async def ask(order: Order, workflow_id: str) -> None:
        async with at_once:
            await persistently(lambda: start(order, workflow_id))
            handle = client.get_workflow_handle(workflow_id)
            await persistently(lambda: handle.signal(DemoOrder.paid, f"card-{order.number}"))
            show.asked["gRPC"] += 1

    await asyncio.gather(*(ask(*one) for one in ids.items()))


async def _by_kafka(kafka: KafkaOrders, ids: dict[Order, str], show: "Progress") -> None:
    for order, workflow_id in ids.items():
        kafka.start(workflow_id, order)
        kafka.pay(workflow_id, f"card-{order.number}")
    while left := await asyncio.to_thread(kafka.flush):
        show.asked["Kafka"] = len(ids) - (left + 1) // 2
    show.asked["Kafka"] = len(ids)


async def _receipt(client: Client, workflow_id: str, show: "Progress") -> Receipt:
    """Return an order's result; a command that Kafka has just taken may not be decided yet."""
    handle: Handle = client.get_workflow_handle_for(DemoOrder.run, workflow_id)
    receipt = await persistently(handle.result, also=(RPCStatusCode.NOT_FOUND,))
    show.done += 1
    return receipt


async def persistently(
    call: Callable[[], Awaitable[T]], *, also: tuple[RPCStatusCode, ...] = ()
) -> T:
    """Repeat a call while the server is away, two minutes at most."""
    async with asyncio.timeout(_PATIENCE_S):
        while True:
            try:
                return await call()
            except RPCError as error:
                if error.status not in (*_AWAY, *also):
                    raise
            except RuntimeError as error:  # how the SDK says that it could not connect
                if "connect" not in str(error).lower():
                    raise
            await asyncio.sleep(_PAUSE_S)


class Progress:
    """One line that says how far it is."""

    def __init__(self, orders: int) -> None:
        """`orders`: how many there are."""
        self.asked: Counter[str] = Counter()
        self.done = 0
        self._orders = orders
        self._is_live = sys.stdout.isatty()

    async def live(self) -> None:
        """Show the line until cancelled."""
        while True:
            self.line()
            await asyncio.sleep(0.2 if self._is_live else 2.0)

    def line(self) -> None:
        """Show the line once."""
        text = (
            f"asked for over gRPC {self.asked['gRPC']:>4}, over Kafka {self.asked['Kafka']:>4};"
            f" done {self.done:>4} of {self._orders}"
        )
        sys.stdout.write(f"\r{text}" if self._is_live else f"{text}\n")
        sys.stdout.flush()


def table(receipts: Sequence[Receipt], over_kafka: set[int]) -> str:
    """Return the results by item, as text."""
    by_item: dict[str, list[Receipt]] = defaultdict(list)
    for receipt in receipts:
        by_item[receipt.item].append(receipt)
    lines = [
        f"{'item':<12}{'orders':>8}{'by gRPC':>9}{'by Kafka':>10}{'repeated':>10}{'total':>12}"
    ]
    for item, those in [*sorted(by_item.items()), ("all", list(receipts))]:
        kafka = sum(receipt.number in over_kafka for receipt in those)
        repeated = sum(receipt.attempts - 1 for receipt in those)
        cents = sum(receipt.cents for receipt in those)
        lines.append(
            f"{item:<12}{len(those):>8}{len(those) - kafka:>9}{kafka:>10}{repeated:>10}"
            f"{cents / 100:>12.2f}"
        )
    return "\n".join(lines) + "\n"


def main() -> int:
    """Parse the options and run."""
    parser = argparse.ArgumentParser(
        prog="make demo ARGS=",
        description="Process 200 orders: half started over gRPC, half over Kafka.",
        epilog="Start a server first: `make dev` in another terminal.",
    )
    parser.add_argument("--address", default="127.0.0.1:7233", help="the server (127.0.0.1:7233)")
    parser.add_argument("--kafka", help="its Kafka; without it, that of --data")
    parser.add_argument(
        "--data", type=Path, default=_FOLDER, help="data folder of the server (data/dev)"
    )
    parser.add_argument("--orders", type=Path, default=_FILE, help="JSON lines, one order each")
    options = parser.parse_args()
    kafka = options.kafka or _kafka_of(options.data)
    if not kafka:
        parser.error(f"no server has run in {options.data}; start `make dev` or give --kafka")
    lines = options.orders.read_text().splitlines()
    orders = [Order(**json.loads(line)) for line in lines if line.strip()]
    try:
        return asyncio.run(run(options.address, kafka, orders))
    except (TimeoutError, NotProducedError) as error:
        sys.stderr.write(f"demo: {error or 'the server did not come back within two minutes'}\n")
        return 1
    except KeyboardInterrupt:
        return 130


def _kafka_of(folder: Path) -> str:
    path = broker_address_in(folder)
    return path.read_text().strip() if path.exists() else ""


if __name__ == "__main__":
    sys.exit(main())
