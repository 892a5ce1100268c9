"""Which GitHub is spoken to, and what differs between GitHub.com, a GHE.com tenant and a GitHub Enterprise Server."""

from dataclasses import dataclass

from github_app.routing.network import github_domains


@dataclass(frozen=True)
class Host:
    """One GitHub: its pages stand below `web_url`, its REST API below `api_url`.

    `rest_version` is what every call names (None: as githubkit does). GitHub waits `answer_limit_s` for the answer to a
    delivery, and hands deliveries over again for `redelivery_window_s`. `domains`: what its runners have to reach.
    """

    web_url: str
    api_url: str
    rest_version: str | None
    answer_limit_s: float
    redelivery_window_s: float
    domains: tuple[str, ...]

    def app_settings_page(self, slug: str, organization: str | None) -> str:
        """Where an App's owner changes or deletes it; `organization` is None for a personal account."""
        account = f"/organizations/{organization}" if organization else ""
        return f"{self.web_url}{account}/settings/apps/{slug}"


_DAY_S = 24 * 3600.0


def host(enterprise_domain: str | None, api_url: str | None = None, web_url: str | None = None) -> Host:
    """Describe a GitHub by its domain; `api_url` changes the REST base alone, `web_url` that of its pages.

    Docs: "GitHub Enterprise Server REST API", "GHE.com network details", "Handling failed webhook deliveries".
    """
    domains = github_domains(enterprise_domain)
    if enterprise_domain is None:
        return Host(
            web_url or "https://github.com", api_url or "https://api.github.com", None, 10.0, 3 * _DAY_S, domains
        )
    web_url = web_url or f"https://{enterprise_domain}"
    if enterprise_domain.lower().partition(":")[0].endswith(".ghe.com"):
        return Host(web_url, api_url or f"https://api.{enterprise_domain}", None, 10.0, 3 * _DAY_S, domains)
    # A server knows the REST version of its own time; 3.19 knows this one.
    return Host(web_url, api_url or f"{web_url}/api/v3", "2022-11-28", 30.0, 7 * _DAY_S, domains)
