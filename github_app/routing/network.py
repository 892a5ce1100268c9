"""Where sandboxes may connect to. Modal decides by the name in a TLS handshake on port 443, and by address."""

from dataclasses import dataclass
from ipaddress import IPv4Network, ip_network

from github_app.model import Network

OPEN = "open"
GITHUB_ONLY = "github-only"
# The policy that ALLOWED_CIDRS makes.
ALLOWED_CIDRS = "allowed-cidrs"
# Modal takes at most so many (modal.com/docs/guide/sandbox-networking).
MOST_DOMAINS = 100


@dataclass(frozen=True)
class Domain:
    """A name that runners reach, what for, and which page says so. `*.a.com` is a.com too, and every depth below."""

    name: str
    purpose: str
    source: str


_RUNNERS = "docs: Self-hosted runners reference"
_DATA_RESIDENCY = "docs: Network details for GHE.com"
_GITHUB_COM = (
    Domain("github.com", "git, release downloads", f"{_RUNNERS}, wildcard form"),
    Domain("*.github.com", "the API, codeload (actions), uploads, GitHub Packages", f"{_RUNNERS}, wildcard form"),
    Domain(
        "*.githubusercontent.com",
        "jobs, logs, OIDC tokens, caches, release assets and runner updates, raw files, Git LFS, layers of ghcr.io",
        f"{_RUNNERS}, wildcard form",
    ),
    Domain("ghcr.io", "immutable actions, container images", f"{_RUNNERS}, wildcard form"),
    Domain("*.blob.core.windows.net", "job summaries, logs, artifacts, caches", f"{_RUNNERS}, by function"),
    Domain("github-cloud.s3.amazonaws.com", "Git LFS", f"{_RUNNERS}, by function"),
    Domain("dependabot-actions.githubapp.com", "jobs of Dependabot", f"{_RUNNERS}, by function"),
)


def github_names(enterprise_domain: str | None) -> tuple[Domain, ...]:
    """What a runner has to reach to do its job: GitHub.com's, a GHE.com tenant's, or a GitHub Enterprise Server's."""
    if enterprise_domain is None:
        return _GITHUB_COM
    host = enterprise_domain.lower().partition(":")[0]
    if host.endswith(".ghe.com"):
        return (
            Domain(host, "git, the API", _DATA_RESIDENCY),
            Domain(f"*.{host}", "everything of the tenant's", _DATA_RESIDENCY),
            # Two levels down, where a pattern may mean but one.
            Domain(f"*.actions.{host}", "jobs, OIDC tokens", _DATA_RESIDENCY),
            Domain("auth.ghe.com", "sign-in", _DATA_RESIDENCY),
            Domain("*.githubassets.com", "assets", _DATA_RESIDENCY),
            Domain("*.githubusercontent.com", "release assets and runner updates, raw files", _DATA_RESIDENCY),
            Domain("*.blob.core.windows.net", "job summaries, logs, artifacts, caches", _DATA_RESIDENCY),
        )
    # With subdomain isolation its services have names below the host's (docs: "Enabling subdomain isolation").
    return (
        Domain(host, "git, the API, jobs, actions, runner updates", _RUNNERS),
        Domain(f"*.{host}", "the same with subdomain isolation", "docs: Enabling subdomain isolation"),
    )


def github_domains(enterprise_domain: str | None) -> tuple[str, ...]:
    """The names alone."""
    return tuple(domain.name for domain in github_names(enterprise_domain))


def networks(github: tuple[str, ...], policies: dict[str, Network]) -> dict[str, Network]:
    """Every policy by name; those that are not open always reach GitHub."""
    listed = {
        name: Network(name, tuple(dict.fromkeys((*github, *policy.domains))), policy.cidrs)
        for name, policy in policies.items()
    }
    return {OPEN: Network(OPEN), GITHUB_ONLY: Network(GITHUB_ONLY, github), **listed}


def cidr(text: str) -> str:
    """Check an IPv4 range and return it as written.

    Raises:
        ValueError: it is none, or not in the form that Modal takes; the message says which would be.
    """
    try:
        found = ip_network(text.strip(), strict=False)
    except ValueError:
        raise ValueError(f"{text!r} is no range of addresses; write for example 203.0.113.0/24") from None
    if not isinstance(found, IPv4Network):
        raise ValueError(f"{text!r}: Modal takes IPv4 ranges only")  # noqa: TRY004 - pydantic collects ValueErrors
    if str(found) != text.strip() and "/" in text:
        raise ValueError(f"{text!r} has bits beyond its prefix; write {found}")
    return str(found)


def is_private(text: str) -> bool:
    """Tell whether Modal cannot reach a range under any setting."""
    return ip_network(text).is_private
