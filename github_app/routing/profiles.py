"""Profiles (named machine shapes), routes to them, and what labels may ask for: the words of modal-runner.toml."""

import re
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

from github_app.model import Gpu, JobEvent, RunFacts
from github_app.routing import labels, units
from github_app.routing.catalog import LONGEST_S, REGIONS
from github_app.routing.globs import matches, matches_exactly
from github_app.routing.hours import parse_hours
from github_app.routing.network import cidr
from github_app.routing.policy import PATTERN

_WORDS = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)
_DOMAIN = re.compile(r"(\*\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?|\*")
# What GitHub takes for a workflow below .github/workflows.
_FILES = (".yml", ".yaml")
_SCOPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*(/[A-Za-z0-9._-]+)?")
_VARIABLE = r"^[A-Za-z_][A-Za-z0-9_]*$"


def _gpu(value: object) -> Gpu:
    # As in a label, too.
    read = labels.KEYS["gpu"].read(str(value).lower().removeprefix("gpu:"))
    if isinstance(read, Gpu):
        return read
    raise ValueError(f"{value!r} {getattr(read, 'sentence', '')}")


def _size(value: object) -> int:
    found = units.mebibytes(str(value))
    if found is None or found < labels.LEAST_MEMORY_MIB:
        raise ValueError(f"{value!r} is no size; write for example '32g'")
    return found


def _time(value: object) -> int:
    found = units.seconds(str(value))
    if found is None:
        raise ValueError(f"{value!r} is no time; write for example '2h'")
    if found > LONGEST_S:
        raise ValueError(f"{value!r} is longer than the 24 hours that Modal lets a sandbox live")
    return found


def _region(value: str) -> str:
    if value not in REGIONS:
        raise ValueError(f"{value!r} is no region of Modal; there are {', '.join(REGIONS)}")
    return value


def _domain(value: str) -> str:
    if not _DOMAIN.fullmatch(value.lower()):
        raise ValueError(f"{value!r} is no domain; write 'example.com' or '*.example.com', without scheme or port")
    return value.lower()


def _glob(value: str) -> str:
    if not PATTERN.fullmatch(value):
        raise ValueError(f"{value!r} is not of the form owner/repo (with *, ? or [...] as wildcards)")
    return value


def _hours(value: str) -> str:
    parse_hours(value)
    return value


def _scope(value: str) -> str:
    if not _SCOPE.fullmatch(value):
        raise ValueError(f"{value!r} is neither an organisation nor of the form owner/repo")
    return value


def _one_or_more(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,39}$")]
ModalName = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
Vcpu = Annotated[float, Field(ge=0.25, le=4096)]
Memory = Annotated[int, BeforeValidator(_size)]
Time = Annotated[int, BeforeValidator(_time)]
GpuWord = Annotated[Gpu, BeforeValidator(_gpu), PlainSerializer(str)]
Region = Annotated[str, AfterValidator(_region)]
Domain = Annotated[str, AfterValidator(_domain)]
Cidr = Annotated[str, AfterValidator(cidr)]
RepositoryGlob = Annotated[str, AfterValidator(_glob)]
HoursWord = Annotated[str, AfterValidator(_hours)]
ScopeWord = Annotated[str, AfterValidator(_scope)]
MountPath = Annotated[str, Field(pattern=r"^/[A-Za-z0-9._/-]+$")]


class Waiting(BaseModel):
    """Runners that wait for jobs: `warm` of them with `warm_labels` in each of `warm_scope`, always or within hours.

    A scope is an organisation, or one repository, for whose jobs alone the machine may be made.
    """

    model_config = _WORDS

    warm: Annotated[int, Field(gt=0, le=100)] | None = None
    warm_labels: tuple[str, ...] = ()
    warm_scope: Annotated[tuple[ScopeWord, ...], BeforeValidator(_one_or_more)] = ()
    warm_hours: HoursWord | None = None


class Profile(Waiting):
    """A machine, by name; what is None is left to the defaults. `timeout` is the job's, in seconds.

    `trust` says on what its secrets rest without a runner group: on labels alone, or on runners that are registered for
    single repositories, as on a personal account.
    """

    model_config = _WORDS

    gpu: GpuWord | None = None
    cpu: Vcpu | None = None
    memory: Memory | None = None
    timeout: Time | None = None
    region: Region | None = None
    image: Name | None = None
    network: Name | None = None
    cache: Name | None = None
    docker: bool | None = None
    volumes: dict[MountPath, ModalName] = Field(default={})
    env: dict[Annotated[str, Field(pattern=_VARIABLE)], str] = Field(default={}, repr=False)
    secret_env: dict[Annotated[str, Field(pattern=_VARIABLE)], str] = Field(default={}, repr=False)
    secrets: tuple[ModalName, ...] = ()
    proxy: ModalName | None = None
    runner_group: Annotated[int, Field(gt=0)] | None = None
    max_concurrent: Annotated[int, Field(gt=0)] | None = None
    trust: Literal["labels", "repository"] | None = None

    @property
    def private(self) -> bool:
        """It gives what a stranger's label must not reach: only a route leads to it."""
        return self.gives_own or self.runner_group is not None

    @property
    def gives_own(self) -> bool:
        """It gives volumes, variables, secrets or an address, which a job that merely fits must not have."""
        return bool(self.env or self.needs_boundary)

    @property
    def needs_boundary(self) -> bool:
        """It gives what must rest on more than labels, which any author of a workflow can write."""
        return bool(self.volumes or self.secret_env or self.secrets or self.proxy)


class Limits(BaseModel):
    """The most that a job is given without a profile, which may go beyond; a list that is None allows all.

    `cache_volumes`: how many caches by label a repository may use within a week. `ask_above`: a machine of a higher
    price, in dollars an hour, is started only after GitHub was asked for its job; None: one with a GPU. `debug`: the
    sandbox of a job that has failed may be kept by label.
    """

    model_config = _WORDS

    cpu: Vcpu = 64
    memory: Memory = 256 * 1024
    timeout: Time = LONGEST_S
    gpus: tuple[GpuWord, ...] | None = None
    regions: tuple[Region, ...] | None = None
    networks: tuple[Name, ...] | None = None
    images: tuple[Name, ...] | None = None
    caches: tuple[Name, ...] | None = None
    cache_volumes: Annotated[int, Field(gt=0)] = 10
    docker: bool = True
    debug: bool = False
    ask_above: Annotated[float, Field(ge=0)] | None = None


class Route(Waiting):
    """Jobs that match all of this get `profile`, or are refused with the sentence of `refuse`. Globs ignore case, but
    those of branches and files.

    `runner_group`: GitHub does not tell which group a job asks for; a route may say which one its runners join.
    `labels`: each glob matches something that the job asks for, in whatever form, or by the profile that it names;
    `branch` is that of the code, for a pull request its head. `workflow` is a file, or else a name, which is any
    author's to choose. `events` and a file cost a call to GitHub for each run.
    """

    model_config = _WORDS

    name: Annotated[str, Field(min_length=1)]
    org: str | None = None
    repositories: tuple[RepositoryGlob, ...] = ()
    labels: tuple[str, ...] = ()
    workflow: str | None = None
    branch: str | None = None
    events: tuple[str, ...] = ()
    forks: bool = False
    profile: Name | None = None
    runner_group: Annotated[int, Field(gt=0)] | None = None
    refuse: str | None = None

    def fits(self, event: JobEvent, asks: Sequence[str]) -> bool:
        """Tell whether a job that asks for this matches, as far as its delivery tells: all but `fits_run`."""
        repository = event.repository.lower()
        return (
            (self.org is None or event.scope.owner.lower() == self.org.lower())
            and (not self.repositories or any(matches(repository, glob) for glob in self.repositories))
            and all(any(matches(label, glob) for label in asks) for glob in self.labels)
            and (self.workflow is None or self.file is not None or matches(event.workflow or "", self.workflow))
            and (self.branch is None or matches_exactly(event.branch or "", self.branch))
        )

    def takes_all_of(self, later: "Route") -> bool:
        """Tell whether whatever `later` matches is matched by this route too, as far as their words show."""
        return (
            self.org in {None, later.org}
            and (not self.repositories or (bool(later.repositories) and {*later.repositories} <= {*self.repositories}))
            and {*self.labels} <= {*later.labels}
            and self.workflow in {None, later.workflow}
            and self.branch in {None, later.branch}
            and (not self.events or (bool(later.events) and {*later.events} <= {*self.events}))
        )

    @property
    def file(self) -> str | None:
        """The glob of the workflow's file, from the repository's root; None where its name is meant."""
        return workflow_file(self.workflow)

    @property
    def needs_run(self) -> bool:
        """Whether only GitHub's record of the run tells if it fits."""
        return bool(self.events or self.file)

    def fits_run(self, run: RunFacts | None) -> bool:
        """Tell whether a run matches."""
        if run is None:
            return not self.needs_run
        fits_event = not self.events or run.event in self.events
        return fits_event and (self.file is None or matches_exactly(_file_of(run.path), self.file))


def workflow_file(workflow: str | None) -> str | None:
    """The glob of a file, where a route's `workflow` is one: it ends as workflow files do."""
    if workflow is None or not workflow.endswith(_FILES):
        return None
    return workflow if "/" in workflow else f".github/workflows/{workflow}"


def _file_of(path: str) -> str:
    """A run's path without the ref that GitHub may write behind it; a file's name may have an @ too."""
    if "@refs/" in path:
        return path.partition("@refs/")[0]
    return path if path.endswith(_FILES) else path.rpartition("@")[0]
