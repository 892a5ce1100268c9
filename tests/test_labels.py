"""From labels to what is wanted: a table, and that nothing a stranger writes breaks it."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from github_app.catalog import GPUS
from github_app.labels import NotOurs, Rejected, Wanted, parse
from github_app.model import Gpu

OURS = ("modal",)


@pytest.mark.parametrize(
    "labels",
    [[], ["ubuntu-latest"], ["self-hosted", "linux"], ["gpu:h100"], ["modal-large"], ["self-hosted", "gpu:nonsense"]],
)
def test_a_job_without_our_label_is_not_ours_whatever_else_it_asks_for(labels: list[str]) -> None:
    assert isinstance(parse(labels, OURS), NotOurs)


@pytest.mark.parametrize(
    "labels",
    [
        ["modal"],
        ["self-hosted", "modal"],
        ["self-hosted", "linux", "x64", "modal"],
        ["MODAL"],
        [" Modal "],
        ["modal", "gpu"],
        ["modal", "team-a", "überall"],
    ],
)
def test_our_label_alone_gets_a_plain_machine(labels: list[str]) -> None:
    assert parse(labels, OURS) == Wanted(gpu=None)


def test_our_label_may_be_another_and_its_case_does_not_matter() -> None:
    assert parse(["gpu-farm"], ["GPU-Farm"]) == Wanted()
    assert isinstance(parse(["modal"], ["gpu-farm"]), NotOurs)


@pytest.mark.parametrize(
    ("label", "gpu"),
    [
        ("gpu:t4", Gpu("T4")),
        ("gpu:H100", Gpu("H100")),
        ("GPU:h100", Gpu("H100")),
        ("gpu:h100:8", Gpu("H100", 8)),
        ("gpu:h100x8", Gpu("H100", 8)),
        ("gpu:a100", Gpu("A100-40GB")),
        ("gpu:a100-80gb:2", Gpu("A100-80GB", 2)),
        ("gpu:a10:4", Gpu("A10", 4)),
        ("gpu:rtx-pro-6000", Gpu("RTX-PRO-6000")),
        ("gpu:l40s:1", Gpu("L40S", 1)),
    ],
)
def test_a_gpu_is_read_by_type_and_count(label: str, gpu: Gpu) -> None:
    assert parse(["self-hosted", "modal", label], OURS) == Wanted(gpu)


@pytest.mark.parametrize("kind", GPUS)
def test_every_gpu_may_be_had_up_to_its_most_and_not_beyond(kind: str) -> None:
    name, most = GPUS[kind].name, GPUS[kind].most

    assert parse(["modal", f"gpu:{kind}:{most}"], OURS) == Wanted(Gpu(name, most))
    beyond = parse(["modal", f"gpu:{kind}:{most + 1}"], OURS)
    assert isinstance(beyond, Rejected)
    assert (beyond.code, str(most) in beyond.sentence) == ("gpu-count", True)


@pytest.mark.parametrize(
    ("label", "nearest"),
    [
        ("gpu:h1000", "gpu:h100"),
        ("gpu:a10g", "gpu:a10"),
        ("gpu:l40", "gpu:l4"),
        ("gpu:rtx-pro-600", "gpu:rtx-pro-6000"),
        ("gpu:a100-80", "gpu:a100-80gb"),
    ],
)
def test_an_unknown_gpu_is_rejected_with_the_nearest(label: str, nearest: str) -> None:
    rejected = parse(["modal", label], OURS)

    assert isinstance(rejected, Rejected)
    assert f"'{nearest}" in rejected.sentence


@pytest.mark.parametrize("label", ["gpu:", "gpu::", "gpu:h100:", "gpu:h100:two", "gpu:h100:99999", "gpu:h100:²"])
def test_a_gpu_label_that_makes_no_sense_is_rejected_and_quoted(label: str) -> None:
    rejected = parse(["modal", label], OURS)

    assert isinstance(rejected, Rejected)
    assert repr(label) in rejected.sentence


def test_no_gpus_at_all_is_rejected() -> None:
    assert isinstance(parse(["modal", "gpu:h100:0"], OURS), Rejected)


@pytest.mark.parametrize("label", ["arm64", "ARM", "windows", "macOS"])
def test_another_platform_is_rejected(label: str) -> None:
    rejected = parse(["modal", label], OURS)

    assert isinstance(rejected, Rejected)
    assert rejected.code == "platform"


def test_two_gpus_are_a_conflict() -> None:
    rejected = parse(["modal", "gpu:h100", "gpu:t4"], OURS)

    assert isinstance(rejected, Rejected)
    assert rejected.code == "conflict"


_label = st.text(max_size=40) | st.from_regex(r"(?i)gpu:[a-z0-9-]{0,12}[:x]?[0-9]{0,6}", fullmatch=True)


@given(st.lists(_label, max_size=6), st.booleans())
@example(["gpu:" + "9" * 5000], True)  # noqa: FBT003 - hypothesis passes what `given` would
def test_whatever_the_labels_are_there_is_an_answer(labels: list[str], ours: bool) -> None:
    answer = parse([*labels, "modal"] if ours else labels, OURS)

    assert isinstance(answer, NotOurs | Rejected | Wanted)
    if isinstance(answer, Rejected):
        assert answer.sentence.endswith(".")
