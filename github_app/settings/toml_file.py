"""The administrator's file, `modal-runner.toml`: everything that it may say."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from github_app.routing.profiles import Cidr, Domain, Limits, Name, Profile, Route

FILE = "modal-runner.toml"
_WORDS = ConfigDict(extra="forbid", frozen=True)


class NetworkPolicy(BaseModel):
    """What may be reached beside GitHub's own domains."""

    model_config = _WORDS

    domains: tuple[Domain, ...] = ()
    cidrs: tuple[Cidr, ...] = ()


class ImageSource(BaseModel):
    """An image beside the default one: the default's recipe on another base, and what is added to it."""

    model_config = _WORDS

    base: Annotated[str, Field(pattern=r"^[a-z0-9][A-Za-z0-9._/:@-]*$")] | None = None
    apt: tuple[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9+.-]*(=\S+)?$")], ...] = ()
    pip: tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9][^\s'\"]*$")], ...] = ()
    dockerfile: tuple[str, ...] = ()


class CacheRules(BaseModel):
    """`shared`: one volume for all repositories. A job of any of them can then write what the others run.

    `branches`: globs of those that share the default branch's volume; all others share another one.
    """

    model_config = _WORDS

    shared: bool = False
    branches: tuple[str, ...] = ()


class LabelRules(BaseModel):
    """`pass`: globs of labels that say nothing about the machine, though they read so, like `gpu-team`.

    `beside`: globs of the labels that alone may stand beside ours, which a runner of ours then has; unset: any.
    """

    model_config = _WORDS

    pass_: tuple[str, ...] = Field((), alias="pass")
    beside: tuple[str, ...] | None = None


class Config(BaseModel):
    """The file. Everything in it may be left out."""

    model_config = _WORDS

    defaults: Profile = Profile()
    limits: Limits = Limits()
    cache: CacheRules = CacheRules()
    labels: LabelRules = LabelRules(**{"pass": ()})
    networks: dict[Name, NetworkPolicy] = {}
    images: dict[Name, ImageSource] = {}
    profiles: dict[Name, Profile] = {}
    routes: tuple[Route, ...] = ()
