"""Apps, Dicts, images, Secrets and Volumes of the simulated Modal, through the real SDK."""

import asyncio
from pathlib import Path

import modal
import pytest
from modal.exception import AlreadyExistsError, ConflictError, InvalidError, NotFoundError

from github_app.simulator.modal import SimulatedModal
from tests.worlds.modal_workshop import Workshop


def a_dict(client: modal.Client, name: str = "jobs") -> "modal.Dict":
    return modal.Dict.from_name(name, create_if_missing=True, client=client)


async def test_an_app_that_is_missing_is_not_found_unless_it_may_be_created(modal_client: modal.Client) -> None:
    with pytest.raises(NotFoundError, match="App 'missing' not found"):
        await modal.App.lookup.aio("missing", client=modal_client)

    made = await modal.App.lookup.aio("missing", create_if_missing=True, client=modal_client)
    found = await modal.App.lookup.aio("missing", client=modal_client)

    assert made.app_id == found.app_id


async def test_of_many_concurrent_puts_if_absent_one_wins(modal_client: modal.Client) -> None:
    jobs = a_dict(modal_client)
    await jobs.hydrate.aio()

    won = await asyncio.gather(*(jobs.put.aio("claim", n, skip_if_exists=True) for n in range(50)))

    assert won.count(True) == 1
    assert await jobs.get.aio("claim") == won.index(True)


async def test_of_many_concurrent_pops_one_is_given_the_value(modal_client: modal.Client) -> None:
    jobs = a_dict(modal_client)
    await jobs.put.aio("slot", "taken")

    popped = await asyncio.gather(*(jobs.pop.aio("slot", None) for _ in range(50)))

    assert sorted(popped, key=str) == [None] * 49 + ["taken"]
    with pytest.raises(KeyError):
        await jobs.pop.aio("slot")


async def test_a_dict_reads_back_what_was_written(modal_client: modal.Client) -> None:
    jobs = a_dict(modal_client)
    await jobs.update.aio({"a": 1, "b": 2})
    await jobs.put.aio("a", 3)

    assert sorted([item async for item in jobs.items.aio()]) == [("a", 3), ("b", 2)]
    assert sorted([key async for key in jobs.keys.aio()]) == ["a", "b"]
    assert sorted([value async for value in jobs.values.aio()]) == [2, 3]
    assert await jobs.contains.aio("b")
    assert await jobs.get.aio("c", "none") == "none"
    assert await jobs.len.aio() == 2

    await jobs.clear.aio()

    assert await jobs.len.aio() == 0


async def test_dicts_are_listed_newest_first_until_deleted(modal_client: modal.Client) -> None:
    for name in ("first", "second"):
        await a_dict(modal_client, name).hydrate.aio()

    assert [d.name for d in await modal.Dict.objects.list.aio(client=modal_client)] == ["second", "first"]

    await modal.Dict.objects.delete.aio("first", client=modal_client)

    assert [d.name for d in await modal.Dict.objects.list.aio(client=modal_client)] == ["second"]


async def test_an_image_is_found_by_name_once_it_is_built_and_published(workshop: Workshop, tmp_path: Path) -> None:
    (tmp_path / "hook.sh").write_text("true")
    image = (
        modal.Image.from_registry("ubuntu:24.04", add_python="3.12")
        .apt_install("git")
        .env({"A": "b"})
        .run_commands("true")
        .entrypoint([])
        .dockerfile_commands("USER root")
        .add_local_file(tmp_path / "hook.sh", "/hook.sh", copy=True)
    )
    with pytest.raises(NotFoundError):
        await workshop.create("true", image=modal.Image.from_name("runner", client=workshop.client))

    built = await image.build.aio(workshop.app)
    await built.publish.aio("runner", client=workshop.client)
    await workshop.create("true", image=modal.Image.from_name("runner", client=workshop.client))

    assert workshop.simulated.sandboxes()[-1].request.definition.image_id == built.object_id


async def test_an_image_built_twice_is_the_same_image(workshop: Workshop) -> None:
    ids = [(await modal.Image.debian_slim().build.aio(workshop.app)).object_id for _ in range(2)]

    assert ids[0] == ids[1]


async def test_a_named_secret_exists_from_creation_to_deletion(modal_client: modal.Client) -> None:
    objects = modal.Secret.objects
    await objects.create.aio("app-key", {"KEY": "pem"}, client=modal_client)

    with pytest.raises(AlreadyExistsError):
        await objects.create.aio("app-key", {"KEY": "pem"}, client=modal_client)
    with pytest.raises(ConflictError, match="OTHER"):
        await modal.Secret.from_name("app-key", required_keys=["OTHER"], client=modal_client).hydrate.aio()

    await objects.delete.aio("app-key", client=modal_client)

    with pytest.raises(NotFoundError):
        await modal.Secret.from_name("app-key", client=modal_client).hydrate.aio()


async def test_a_secret_value_over_the_documented_length_is_refused(modal_client: modal.Client) -> None:
    with pytest.raises(InvalidError, match="32768"):
        await modal.Secret.objects.create.aio("long", {"KEY": "x" * 32_769}, client=modal_client)


async def test_secrets_and_env_reach_the_environment_in_that_order(workshop: Workshop) -> None:
    await modal.Secret.objects.create.aio("s", {"A": "secret", "B": "secret"}, client=workshop.client)
    for gpu in (None, "T4"):
        sandbox = await workshop.create(
            "sh",
            "-c",
            'echo "$A $B $C $WHO"',
            gpu=gpu,
            secrets=[
                modal.Secret.from_name("s", client=workshop.client),
                modal.Secret.from_dict({"C": "inline"}),
            ],
            env={"B": "env"},
        )
        await sandbox.wait.aio()

        assert workshop.simulated.sandboxes()[-1].output == "secret env inline the image\n"


async def test_a_volume_is_shared_by_sandboxes_and_outlives_them(
    workshop: Workshop, simulated_modal: SimulatedModal
) -> None:
    volume = modal.Volume.from_name("cache", create_if_missing=True, version=2, client=workshop.client)
    writer = await workshop.create("sh", "-c", "echo kept > cache/file", volumes={"/cache": volume})
    await writer.wait.aio()

    reader = await workshop.create("cat", "opt/cache/file", volumes={"/opt/cache": volume})
    await reader.wait.aio()

    assert simulated_modal.sandboxes()[-1].output == "kept\n"
