"""Where sandboxes may connect to. Modal decides by the name in a TLS handshake on port 443, and by address."""

from ipaddress import IPv4Network, ip_network

from github_app.model import Network

OPEN = "open"
GITHUB_ONLY = "github-only"
# The policy that ALLOWED_CIDRS makes.
ALLOWED_CIDRS = "allowed-cidrs"
# Modal takes at most so many (modal.com/docs/guide/sandbox-networking).
MOST_DOMAINS = 100

# Docs: "Self-hosted runners reference", communication with GitHub.com.
_GITHUB_COM = (
    *("github.com", "api.github.com", "*.actions.githubusercontent.com"),
    *("codeload.github.com", "pkg.actions.githubusercontent.com", "ghcr.io"),
    *("results-receiver.actions.githubusercontent.com", "*.blob.core.windows.net"),
    *("objects.githubusercontent.com", "objects-origin.githubusercontent.com"),
    *("github-releases.githubusercontent.com", "github-registry-files.githubusercontent.com"),
    *("*.pkg.github.com", "github-cloud.githubusercontent.com", "github-cloud.s3.amazonaws.com"),
    "dependabot-actions.githubapp.com",
)


def github_domains(enterprise_domain: str | None) -> tuple[str, ...]:
    """What a runner has to reach to do its job: GitHub.com's, a GHE.com tenant's, or a GitHub Enterprise Server's."""
    if enterprise_domain is None:
        return _GITHUB_COM
    host = enterprise_domain.lower().partition(":")[0]
    if host.endswith(".ghe.com"):
        return (
            *(host, f"*.{host}", f"*.actions.{host}", "auth.ghe.com"),
            *("*.githubassets.com", "*.githubusercontent.com", "*.blob.core.windows.net"),
        )
    # With subdomain isolation its services have names below the host's.
    return (host, f"*.{host}")


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
