"""From labels to what is wanted: a table, and that nothing a stranger writes breaks it."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from github_app.model import Gpu
from github_app.routing.catalog import GPUS
from github_app.routing.labels import NotOurs, Rejected, Wanted, parse

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
        ["modal", "team-a", "build-42", "ubuntu-24.04-like", "überall"],
        ["modal", "role:build", "stage:prod", "price:low", "env:gpt-eval"],
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
        ("gpu:100", "gpu:a100"),
        ("gpu:h1000:2", "gpu:h100:2"),
    ],
)
def test_an_unknown_gpu_is_rejected_with_the_nearest(label: str, nearest: str) -> None:
    rejected = parse(["modal", label], OURS)

    assert isinstance(rejected, Rejected)
    assert f"'{nearest}" in rejected.sentence


@pytest.mark.parametrize("label", ["gpu:v100", "gpu:p100:2", "gpu:rtx4090", "gpu:2", "gpu:zz9"])
def test_another_card_is_rejected_with_all_that_there_are_and_their_price(label: str) -> None:
    rejected = parse(["modal", label], OURS)

    assert isinstance(rejected, Rejected)
    assert "Nearest" not in rejected.sentence
    assert all(f"{name} ${gpu.usd_per_s * 3600:.2f}" in rejected.sentence for name, gpu in GPUS.items())


@pytest.mark.parametrize("label", ["gpu:", "gpu::", "gpu:h100:", "gpu:h100:two", "gpu:h100:99999", "gpu:h100:²"])
def test_a_gpu_label_that_makes_no_sense_is_rejected_and_quoted(label: str) -> None:
    rejected = parse(["modal", label], OURS)

    assert isinstance(rejected, Rejected)
    assert repr(label) in rejected.sentence


def test_no_gpus_at_all_is_rejected() -> None:
    assert isinstance(parse(["modal", "gpu:h100:0"], OURS), Rejected)


@pytest.mark.parametrize(
    "label",
    [
        *("arm64", "ARM", "windows", "macOS", "aarch64", "linux-arm64", "windows-latest", "macos-14", "os:windows"),
        *("macos14", "windows11", "win10", "armhf", "mac", "linux-arm"),
        *("mac-m1", "apple-silicon", "ppc64le", "s390x", "riscv64"),
        *("ubuntu-2404-arm", "ubuntu-latest-4-cores-arm", "bigcorp-8vcpu-ubuntu-2204-arm"),
    ],
)
def test_another_platform_is_rejected(label: str) -> None:
    rejected = parse(["modal", label], OURS)

    assert isinstance(rejected, Rejected)
    assert rejected.code == "platform"


@pytest.mark.parametrize(
    ("label", "meant"),
    [
        ("gpu", "'gpu:TYPE' with one of t4, l4"),
        ("h100", "'gpu:h100'"),
        ("gpu-h100", "'gpu:h100'"),
        ("8xh100", "'gpu:h100:8'"),
        ("h100x4", "'gpu:h100:4'"),
        ("h100:8", "'gpu:h100:8'"),
        ("A100-80GB", "'gpu:a100-80gb'"),
        ("nvidia", "'gpu:TYPE'"),
        ("v100", "'gpu:TYPE'"),
        ("gpu-l40s", "'gpu:l40s'"),
        ("machine:gpu-large", "'gpu:TYPE'"),
        *((other, "'gpu:TYPE'") for other in ("cuda-12", "cuda12", "cuda12.4", "gpu1", "gpux2", "2gpu", "multigpu")),
        *((other, "'gpu:TYPE'") for other in ("rtx3090", "gtx1080", "titan", "quadro", "h20", "h800", "a16", "b100")),
        *((other, "'gpu:TYPE'") for other in ("a2", "blackwell", "hopper", "dgx", "tpu", "mi300x", "tesla", "amd")),
        *((t4, "'gpu:t4'") for t4 in ("t4", "linux-t4", "t4-small", "build-t4", "gpu-t4", "accelerator:t4")),
        *((other, "'gpu:TYPE'") for other in ("a2-highgpu-1g", "pod-a40", "k80-pool")),
        ("high-memory", "'memory:32g'"),
        ("a10g", "'gpu:a10'"),
        ("4xt4", "'gpu:t4:4'"),
        ("h100sxm", "'gpu:h100'"),
        ("h100-sxm5:8", "'gpu:h100:8'"),
        ("h100-80gb", "'gpu:h100'"),
        ("h100_8", "'gpu:h100:8'"),
        ("4x-h100", "'gpu:h100:4'"),
        ("a100_80gb", "'gpu:a100-80gb'"),
        ("a10040gb", "'gpu:a100-40gb'"),
        ("4x_a100_80gb", "'gpu:a100-80gb:4'"),
        ("ram32", "'memory:32'"),
        ("ram:64g", "'memory:64g'"),
        ("ram=32", "'memory:32'"),
        ("mem-heavy", "'memory:32g'"),
        *((size, "'memory:64") for size in ("64gb", "ubuntu-64g", "mem:64g")),
        *((cores, "'cpu:8'") for cores in ("8-cores", "8core", "8vcpu", "cpu8", "cpu-8", "cores:8", "vcpus:8")),
        *((size, "'cpu:2'") for size in ("large", "small", "linux-large", "machine-large", "m7i.large", "medium")),
        *((size, "'cpu:8'") for size in ("2xlarge", "xxl", "xxlarge", "c5.2xlarge")),
        *(("xlarge", "'cpu:4'"), ("ubuntu-latest-16-cores", "'cpu:16'"), ("highmem", "'memory:32g'")),
        *((cloud, "'gpu:TYPE'") for cloud in ("g5.xlarge", "p4d.24xlarge", "vram:24g", "g4dn.metal", "trn1.32xlarge")),
        *((size, "'cpu:4'") for size in ("e2-standard-4", "Standard_D4s_v3", "0xlarge")),
        *(("16c32g", "'cpu:16'"), ("core-2", "'cpu:2'"), ("xsmall", "'cpu:2'"), ("low-memory", "'memory:2g'")),
    ],
)
def test_a_label_that_reads_like_hardware_is_refused_with_the_nearest_of_ours(label: str, meant: str) -> None:
    rejected = parse(["self-hosted", "modal", label], OURS)

    assert isinstance(rejected, Rejected)
    assert rejected.code == "hardware"
    assert meant in rejected.sentence


@pytest.mark.parametrize(
    "label",
    [
        *("no-gpu", "team-a2", "p4-perforce", "tesla-team", "arm-team", "ada-lovelace", "amd64"),
        *(
            "win-team",
            "gpt-eval",
            "program",
            "memcached",
            "winter",
            "armory",
            "xl-team",
            "large-language-models",
            "cpu",
        ),
        *("api-v300", "mem0-tests", "memory-leak-tests", "team-b42"),
    ],
)
def test_a_name_that_is_not_only_a_cards_passes(label: str) -> None:
    assert parse(["self-hosted", "modal", label], OURS) == Wanted()


@pytest.mark.parametrize("passes", [["gpu-team"], ["gpu-*"]])
def test_a_label_that_an_administrator_has_named_passes(passes: list[str]) -> None:
    assert parse(["modal", "gpu-team"], OURS, passes) == Wanted()
    assert parse(["gpu-h100"], ["gpu-h100"]) == Wanted()


def test_a_glob_that_names_nothing_lets_nothing_pass() -> None:
    assert isinstance(parse(["modal", "gpu-team"], OURS, ["*"]), Rejected)
    # And what is a label of ours is read, whoever names it.
    assert isinstance(parse(["modal", "gpu:nonsense"], OURS, ["gpu:*"]), Rejected)


@pytest.mark.parametrize(
    ("label", "nearest"),
    [
        *(("gup:h100", "gpu:h100"), ("vcpu:8", "cpu:8"), ("memroy:8g", "memory:8g"), ("timout:2h", "timeout:2h")),
        # A hint costs nobody more than what was written.
        ("gpus:2", "gpu:t4"),
    ],
)
def test_a_slip_in_a_key_of_ours_is_refused_with_what_was_meant(label: str, nearest: str) -> None:
    rejected = parse(["modal", label], OURS)

    assert isinstance(rejected, Rejected)
    assert f"Nearest: '{nearest}'" in rejected.sentence


@pytest.mark.parametrize(
    ("labels", "hint"),
    [
        (["self-hosted, modal"], "write [self-hosted, modal]"),
        (["modal,gpu:h100"], 'write [modal, "gpu:h100"]'),
        (["modal:h100"], 'write [modal, "gpu:h100"] or modal/gpu=h100'),
    ],
)
def test_a_label_that_was_meant_to_be_ours_is_not_and_says_what_is_between(labels: list[str], hint: str) -> None:
    answer = parse(labels, OURS)

    assert isinstance(answer, NotOurs)
    assert answer.meant
    assert hint in answer.reason


@pytest.mark.parametrize(
    ("label", "reason"),
    [
        ("cache:../x", "has what is no name after it"),
        ("cache:", "has no name after it"),
        ("memory:1x", "is no size of at least 128 MiB"),
    ],
)
def test_a_value_that_cannot_be_is_refused_for_the_true_reason(label: str, reason: str) -> None:
    rejected = parse(["modal", label], OURS)

    assert isinstance(rejected, Rejected)
    assert reason in rejected.sentence
    assert parse(["modal", "memory:1t"], OURS) == Wanted(memory_mib=1024 * 1024)


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
