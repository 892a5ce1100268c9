"""What Modal is asked for: each label and each setting, in the request that the real SDK sends."""

import itertools
import json
from dataclasses import dataclass
from typing import Any

import modal
import pytest
from pydantic import SecretStr

from github_app.compose import images_of
from github_app.errors import SandboxError
from github_app.model import SandboxSpec
from github_app.routing.globs import as_regex
from github_app.routing.network import github_domains
from github_app.routing.route import route
from github_app.routing.rules import Admit
from github_app.sandboxes import ModalSandboxes, runner_image
from github_app.settings.load import load_routing_settings, parse_config
from github_app.settings.make_rules import make_rules
from github_app.simulator.modal import SimulatedModal
from tests.worlds.modal_workshop import connect
from tests.worlds.records import event

_NUMBERS = itertools.count(1)
GITHUB = list(github_domains(None))


@dataclass
class Request:
    """A request for a sandbox, and the names of the Volumes that it mounts."""

    definition: Any
    volumes: dict[str, str]
    environment: dict[str, str]

    @property
    def rules(self) -> dict[str, Any]:
        """What the job-started hook decides by."""
        rules: dict[str, Any] = json.loads(self.environment["MODAL_RUNNER_RULES"])
        return rules


class Keeps:
    """Keeps the last request for a sandbox, and which Volume has which name."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._environment: dict[str, str] = {}
        self._message: Any = None

    async def before(self, rpc: str, request: Any) -> None:
        if rpc.startswith("SandboxCreate"):
            self._message = request
            # On Modal's newer backend the environment travels in the request, on the older one as a Secret.
            for source in getattr(request, "secret_sources", ()):
                self._environment |= dict(source.env.contents)
        if rpc == "SecretGetOrCreate":
            self._environment |= dict(request.env_dict)

    async def after(self, rpc: str, request: Any, response: Any) -> None:
        if rpc == "VolumeGetOrCreate":
            self._names[response.volume_id] = request.deployment_name

    def request(self) -> Request:
        definition = self._message.definition
        volumes = {mount.mount_path: self._names[mount.volume_id] for mount in definition.volume_mounts}
        return Request(definition, volumes, self._environment)


async def _request(
    sleeping_modal: SimulatedModal, *labels: str, toml: str = "", repository: str = "octo-org/app"
) -> Request:
    """The request for a job with these labels, under the settings of the environment and this file."""
    settings, config = load_routing_settings(), parse_config(toml)
    rules = make_rules(settings, config)
    admitted = route(event(labels=("self-hosted", "modal", *labels), repository=repository), rules)
    assert isinstance(admitted, Admit), admitted
    keeps = Keeps()
    async with connect(sleeping_modal) as client:
        images = images_of(settings, config)
        sandboxes = ModalSandboxes("app", images, client, rules=rules)
        await sandboxes.prepare()
        await modal.Secret.objects.create.aio("hf-token", {"HF_TOKEN": "x"}, client=client, allow_existing=True)
        await modal.Volume.objects.create.aio("datasets", client=client, allow_existing=True)
        sleeping_modal.interceptor = keeps
        job = ("self-hosted", "modal", *labels)
        name = f"modal-{next(_NUMBERS)}-1"
        spec = SandboxSpec(name, admitted.shape, {}, SecretStr("config"), repository, private=True, labels=job)
        await sandboxes.create(spec)
        sleeping_modal.interceptor = None
    return keeps.request()


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BLOCK_NETWORK", "ALLOWED_CIDRS", "CACHE_VOLUME_NAME", "MODAL_REGION", "SANDBOX_EXTRA_ENV"):
        monkeypatch.delenv(name, raising=False)


async def test_a_plain_job_gets_two_vcpus_a_generous_limit_and_six_hours(sleeping_modal: SimulatedModal) -> None:
    definition = (await _request(sleeping_modal)).definition

    assert (definition.resources.milli_cpu, definition.resources.milli_cpu_max) == (1000, 8000)
    assert (definition.resources.memory_mb, definition.resources.memory_mb_max) == (2048, 32768)
    assert definition.timeout_secs == 6 * 3600 + 300 + 600
    assert definition.runtime == ""
    assert not definition.scheduler_placement.regions
    assert definition.network_access.network_access_type == definition.network_access.OPEN


@pytest.mark.parametrize(
    ("label", "kind", "count"),
    [
        ("gpu:t4", "T4", 1),
        ("gpu:l4:2", "L4", 2),
        ("gpu:a10", "A10", 1),
        ("gpu:l40s", "L40S", 1),
        ("gpu:a100", "A100-40GB", 1),
        ("gpu:a100-40gb", "A100-40GB", 1),
        ("gpu:a100-80gb", "A100-80GB", 1),
        ("GPU:H100x8", "H100", 8),
        ("gpu:h200", "H200", 1),
        ("gpu:b200", "B200", 1),
        ("gpu:b300", "B300", 1),
        ("gpu:rtx-pro-6000", "RTX-PRO-6000", 1),
    ],
)
async def test_gpu(sleeping_modal: SimulatedModal, label: str, kind: str, count: int) -> None:
    gpu = (await _request(sleeping_modal, label)).definition.resources.gpu_config

    assert (gpu.gpu_type, gpu.count) == (kind, count)


async def test_cpu_and_memory(sleeping_modal: SimulatedModal) -> None:
    resources = (await _request(sleeping_modal, "cpu:8", "memory:32g")).definition.resources

    assert (resources.milli_cpu, resources.memory_mb) == (4000, 32768)


async def test_timeout(sleeping_modal: SimulatedModal) -> None:
    assert (await _request(sleeping_modal, "timeout:90m")).definition.timeout_secs == 90 * 60 + 300 + 600


async def test_region(sleeping_modal: SimulatedModal) -> None:
    assert (await _request(sleeping_modal, "region:us-east")).definition.scheduler_placement.regions == ["us-east"]


async def test_cache_is_a_volume_of_the_repository_alone(sleeping_modal: SimulatedModal) -> None:
    request = await _request(sleeping_modal, "cache:models")

    assert request.volumes["/cache"].startswith("modal-runner-cache-models-octo-")
    assert request.rules["made_for"]["repositories"] == [as_regex("octo-org/app")]


async def test_docker_runs_in_the_vm_runtime_and_with_a_gpu_in_the_older_way(sleeping_modal: SimulatedModal) -> None:
    plain = await _request(sleeping_modal, "docker")
    gpu = await _request(sleeping_modal, "docker", "gpu:t4")

    assert plain.definition.runtime == "vm"
    assert plain.definition.resources.memory_mb == plain.definition.resources.memory_mb_max == 8192
    assert plain.environment["MODAL_RUNNER_DOCKER"] == "vm"
    assert gpu.definition.runtime == ""
    assert gpu.definition.experimental_options_v2["enable_docker"] == "True"


async def test_network_github_only(sleeping_modal: SimulatedModal) -> None:
    access = (await _request(sleeping_modal, "network:github-only")).definition.network_access

    assert access.network_access_type == access.ALLOWLIST
    assert list(access.allowed_domains) == GITHUB
    assert not access.allowed_cidrs


async def test_a_named_network_adds_domains_and_ranges(sleeping_modal: SimulatedModal) -> None:
    toml = '[networks.hf]\ndomains = ["huggingface.co", "*.hf.co"]\ncidrs = ["203.0.113.0/24"]\n'
    access = (await _request(sleeping_modal, "network:hf", toml=toml)).definition.network_access

    assert list(access.allowed_domains) == [*GITHUB, "huggingface.co", "*.hf.co"]
    assert list(access.allowed_cidrs) == ["203.0.113.0/24"]


async def test_the_one_label_form_is_the_same_as_its_parts(sleeping_modal: SimulatedModal) -> None:
    one = await _request(sleeping_modal, "modal/gpu=h100:2/cpu=8/memory=32g/timeout=2h/run=8412")
    parts = await _request(sleeping_modal, "gpu:h100:2", "cpu:8", "memory:32g", "timeout:2h")

    assert one.definition.resources == parts.definition.resources
    assert one.definition.timeout_secs == parts.definition.timeout_secs


@pytest.mark.parametrize(("rests_on", "proxy"), [("runner_group = 7", "pr-office"), ("", "")])
async def test_a_fixed_address_is_given_by_a_route_where_it_rests_on_more_than_labels(
    sleeping_modal: SimulatedModal, rests_on: str, proxy: str
) -> None:
    toml = f"""
[profiles.deploy]
proxy = "office"
{rests_on}

[[routes]]
name = "deploy"
repositories = ["octo-org/app"]
profile = "deploy"
"""
    given = (await _request(sleeping_modal, toml=toml)).definition
    elsewhere = (await _request(sleeping_modal, toml=toml, repository="octo-org/other")).definition

    assert (given.proxy_id, elsewhere.proxy_id) == (proxy, "")


async def test_a_route_gives_a_profile_with_its_secrets_and_volumes(sleeping_modal: SimulatedModal) -> None:
    toml = """
[profiles.train]
gpu = "h100"
memory = "64g"
secrets = ["hf-token"]
volumes = { "/data" = "datasets" }
env = { MODE = "train" }
runner_group = 7

[[routes]]
name = "training"
repositories = ["octo-org/*"]
profile = "train"
"""
    request = await _request(sleeping_modal, toml=toml)

    assert request.definition.resources.gpu_config.gpu_type == "H100"
    assert request.definition.resources.memory_mb == 64 * 1024
    assert request.volumes == {"/data": "datasets"}
    assert len(request.definition.secret_ids) == 2
    assert request.rules["made_for"]["repositories"] == [as_regex("octo-org/*")]
    # Of the Secret that it names, by the name that it has there.
    assert request.environment["MODAL_RUNNER_OWN_ENV"] == "MODE HF_TOKEN"


async def test_a_profile_whose_secrets_rest_on_nothing_is_given_none_of_them(sleeping_modal: SimulatedModal) -> None:
    toml = """
[profiles.train]
secrets = ["hf-token"]
secret_env = { TOKEN = "canary-token" }
volumes = { "/data" = "datasets" }
env = { MODE = "train" }
[[routes]]
name = "training"
profile = "train"
"""
    request = await _request(sleeping_modal, toml=toml)

    assert request.volumes == {}
    assert request.environment["MODAL_RUNNER_OWN_ENV"] == "MODE"
    assert request.environment["MODAL_RUNNER_KEPT_BACK"] == "train"
    assert "TOKEN" not in request.environment
    assert not any("hf-token" in str(each) for each in request.definition.secret_ids)


async def test_block_network(sleeping_modal: SimulatedModal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BLOCK_NETWORK", "true")
    monkeypatch.setenv("ALLOWED_CIDRS", "203.0.113.0/24")
    access = (await _request(sleeping_modal)).definition.network_access

    assert list(access.allowed_domains) == GITHUB
    assert not access.allowed_cidrs


@pytest.mark.parametrize("written", ["203.0.113.0/24,10.0.0.0/8", '["203.0.113.0/24", "10.0.0.0/8"]'])
async def test_allowed_cidrs(sleeping_modal: SimulatedModal, monkeypatch: pytest.MonkeyPatch, written: str) -> None:
    monkeypatch.setenv("ALLOWED_CIDRS", written)
    access = (await _request(sleeping_modal)).definition.network_access

    assert list(access.allowed_domains) == GITHUB
    assert list(access.allowed_cidrs) == ["203.0.113.0/24", "10.0.0.0/8"]


async def test_cache_volume_name(sleeping_modal: SimulatedModal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CACHE_VOLUME_NAME", "ci-cache")
    alone = await _request(sleeping_modal)
    shared = await _request(sleeping_modal, toml="[cache]\nshared = true\n")

    assert alone.volumes["/cache"].startswith("ci-cache-octo-org.app-")
    assert shared.volumes == {"/cache": "ci-cache"}


@pytest.mark.parametrize(("written", "region"), [("us-east-1", "us-east"), ("eu", "eu")])
async def test_modal_region(
    sleeping_modal: SimulatedModal, monkeypatch: pytest.MonkeyPatch, written: str, region: str
) -> None:
    monkeypatch.setenv("MODAL_REGION", written)

    assert (await _request(sleeping_modal)).definition.scheduler_placement.regions == [region]


@pytest.mark.parametrize("written", ['{"STAGE": "ci", "DEBUG": "1"}', "STAGE=ci, DEBUG=1"])
async def test_sandbox_extra_env(sleeping_modal: SimulatedModal, monkeypatch: pytest.MonkeyPatch, written: str) -> None:
    monkeypatch.setenv("SANDBOX_EXTRA_ENV", written)
    environment = (await _request(sleeping_modal)).environment

    assert (environment["STAGE"], environment["DEBUG"]) == ("ci", "1")


async def test_allowed_repos_reach_the_hook(sleeping_modal: SimulatedModal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOWED_REPOS", "Octo-Org/*, other/tool")

    rules = (await _request(sleeping_modal)).rules

    assert rules["admitted"] == [as_regex("octo-org/*")]
    assert rules["named"] == ["other/tool"]
    assert rules["private"] == ["octo-org/app"]


async def test_the_threads_of_a_job_are_its_limit_in_vcpus(sleeping_modal: SimulatedModal) -> None:
    plain, eight = await _request(sleeping_modal), await _request(sleeping_modal, "cpu:8")

    assert (plain.environment["MODAL_RUNNER_THREADS"], eight.environment["MODAL_RUNNER_THREADS"]) == ("16", "8")


async def test_rules_that_modal_would_cut_off_are_refused_with_a_sentence(
    sleeping_modal: SimulatedModal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALLOWED_REPOS", ",".join(["octo-org/*", *(f"octo-org/repository-{n}" for n in range(1500))]))

    with pytest.raises(SandboxError, match="with wildcards"):
        await _request(sleeping_modal)


def test_runner_version_and_checksum_are_in_the_image() -> None:
    plain, checked = runner_image("9.8.7"), runner_image("9.8.7", "ab" * 32)

    assert any("v9.8.7/actions-runner-linux-x64-9.8.7.tar.gz" in line for line in plain.lines)
    assert any(f'"{"ab" * 32}  runner.tar.gz" | sha256sum --check' in line for line in checked.lines)
    assert plain.name != checked.name


async def test_an_image_of_the_file_is_asked_for_by_label(sleeping_modal: SimulatedModal) -> None:
    toml = '[images.cuda]\nbase = "nvidia/cuda:12.8.0-devel-ubuntu24.04"\napt = ["cmake"]\n'
    default = await _request(sleeping_modal, toml=toml)
    cuda = await _request(sleeping_modal, "image:cuda", toml=toml)

    assert default.definition.image_id != cuda.definition.image_id


async def test_a_profile_is_asked_for_by_label(sleeping_modal: SimulatedModal) -> None:
    request = await _request(sleeping_modal, "profile:big", toml='[profiles.big]\ncpu = 32\nmemory = "64g"\n')

    assert (request.definition.resources.milli_cpu, request.definition.resources.memory_mb) == (16000, 65536)


async def test_network_open_and_the_rest_in_one_label(sleeping_modal: SimulatedModal) -> None:
    toml = "[images.cuda]\n[networks.hf]\ndomains = ['hf.co']\n"
    label = "modal/region=eu/image=cuda/cache=c/network=hf/docker"
    one = await _request(sleeping_modal, label, toml=toml)
    many = await _request(sleeping_modal, "region:eu", "image:cuda", "cache:c", "network:hf", "docker", toml=toml)
    opened = await _request(sleeping_modal, "network:open")

    for request in (one, many):
        request.definition.name = ""
    assert one.definition == many.definition
    assert opened.definition.network_access.network_access_type == opened.definition.network_access.OPEN


async def test_github_enterprise_domain(sleeping_modal: SimulatedModal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ENTERPRISE_DOMAIN", "ghe.example.com")
    monkeypatch.setenv("BLOCK_NETWORK", "true")
    access = (await _request(sleeping_modal)).definition.network_access

    assert list(access.allowed_domains) == ["ghe.example.com", "*.ghe.example.com"]
