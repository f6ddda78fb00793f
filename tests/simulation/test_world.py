"""Stories of the simulated world."""

from tests.simulation.world import World, run_world


def test_answers_leave_and_agree() -> None:
    """One node serves asks of several clients; the audit agrees."""

    async def story(world: World) -> None:
        world.start()
        await world.load(clients=5, asks=10)
        await world.settle()
        world.audit()

    run_world(1, story)
