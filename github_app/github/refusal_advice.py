"""What a person has to click when GitHub refuses an App that is set up rightly otherwise.

The phrases are those of GitHub's answers; where one changes, its sentence is still shown, only without advice.
"""

import re

_ADVICE = (
    (
        r"installation has been suspended",
        "an owner of the organisation unsuspends the App: Settings > GitHub Apps > Configure > Unsuspend",
    ),
    (
        r"IP allow list",
        (
            "an owner lets installed Apps in: Settings > Authentication security > IP allow list > "
            '"Enable IP allow list configuration for installed GitHub Apps"'
        ),
    ),
    (
        r"SAML|single sign-on|\bSSO\b",
        "an owner opens the organisation once by single sign-on and then reinstalls the App: Settings > GitHub Apps",
    ),
    (
        r"self-hosted runners?.*(disabled|not allowed)|disabled.*self-hosted runners?",
        (
            "an owner allows self-hosted runners: Settings > Actions > General > Runners (in an enterprise: Policies > "
            "Actions > Runners)"
        ),
    ),
    (
        r"Actions?.*(disabled|not enabled)|disabled.*Actions?",
        "an owner turns GitHub Actions on: Settings > Actions > General > Policies",
    ),
    (
        r"Resource not accessible by integration|permissions requested are not granted",
        (
            "the App lacks a permission: compare its settings page (Permissions & events) with manifest.yml; then an "
            "owner accepts the new permission: Settings > GitHub Apps > Configure > Review request"
        ),
    ),
    (
        r"repository that does not exist or is not accessible",
        "an owner adds the repository to the App: Settings > GitHub Apps > Configure > Repository access",
    ),
    (
        r"'Issued at' claim|'Expiration time' claim",
        "this machine's clock is wrong: set it by NTP",
    ),
    (
        r"JSON web token could not be decoded|Integration not found|issuer.*claim",
        (
            "GITHUB_APP_ID and GITHUB_PRIVATE_KEY do not belong together, or the App was deleted: make a new private "
            "key on the App's settings page, or register it anew"
        ),
    ),
)


def advice_on(status: int, message: str) -> str | None:
    """The click that mends a refusal (401, 403, 404, 409 or 422), by GitHub's `message`."""
    if not 400 <= status < 500:
        return None
    return next((advice for phrase, advice in _ADVICE if re.search(phrase, message, re.IGNORECASE | re.DOTALL)), None)
