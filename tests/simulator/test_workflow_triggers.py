import pytest

from github_app.simulator.workflow import load
from github_app.simulator.workflow.triggers import matches, not_started

JOBS = "\njobs: {a: {runs-on: x, steps: [{run: 'true'}]}}\n"
MAIN = "refs/heads/main"


@pytest.mark.parametrize(
    ("on", "event", "ref", "reason"),
    [
        ("push", "push", MAIN, None),
        ("[pull_request, schedule]", "push", MAIN, "it runs on pull_request, schedule"),
        ("{push: {branches: [main]}}", "push", MAIN, None),
        ("{push: {branches: main}}", "push", MAIN, None),
        ("{push: {branches: ['release/**']}}", "push", MAIN, "its branches leave out main"),
        ("{push: {branches: ['**', '!main']}}", "push", MAIN, "its branches leave out main"),
        ("{push: {branches-ignore: ['m*']}}", "push", MAIN, "its branches leave out main"),
        ("{push: {tags: ['v*']}}", "push", MAIN, "it is for tags alone"),
        ("{push: {tags-ignore: ['x']}}", "push", MAIN, "it is for tags alone"),
        ("{push: {tags: ['v*'], branches: [main]}}", "push", MAIN, None),
        ("{push: {tags: ['v*']}}", "push", "refs/tags/v1.0.0", None),
        ("{push: {branches: [main]}}", "push", "refs/tags/v1.0.0", "it is for branches alone"),
        ("{push: {paths: ['src/**']}}", "push", MAIN, None),
        ("{push: {paths: ['*.md']}}", "push", MAIN, "its paths name no file of the commit"),
        ("{push: {paths: ['*.md']}}", "push", "refs/tags/v1", None),
        ("{push: {paths-ignore: ['**.py']}}", "push", MAIN, "its paths-ignore names every file of the commit"),
        ("{pull_request: {branches: [dev]}}", "pull_request", MAIN, "its branches leave out main"),
        ("{pull_request: {types: [closed]}}", "pull_request", MAIN, "of a pull request it runs on closed"),
        ("{workflow_dispatch: {inputs: {}}}", "workflow_dispatch", MAIN, None),
    ],
)
def test_an_event_starts_a_workflow_by_its_filters(on: str, event: str, ref: str, reason: str | None) -> None:
    assert not_started(load(f"on: {on}{JOBS}", "ci.yml"), event, ref, ["src/a/b.py"]) == reason


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        *(("feature/*", "feature/a", True), ("feature/*", "feature/a/b", False), ("feature/**", "feature/a/b", True)),
        *(("v2*", "v2.9", True), ("v[12].[0-9]+.[0-9]+", "v1.10.1", True), ("*.jsx?", "page.js", True)),
        *(
            ("**/docs/**", "docs/a", True),
            ("docs/**/*.md", "docs/a.md", True),
            ("*", "a/b", False),
            ("a.c", "abc", False),
        ),
        *(("[z-a]", "z", False), (r"\*", "*", True)),
    ],
)
def test_a_pattern_is_read_as_githubs_cheat_sheet_has_it(pattern: str, text: str, *, fits: bool) -> None:
    assert matches([pattern], text) is fits
