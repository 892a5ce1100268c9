# The job-started hook: runs inside the job, before its first step; what it prints stands in the job's log, and its
# failure fails the job. Any repository that the runner group admits can take this runner, so admission is checked here
# again, by the rules of policy.py.
touch "$HOME/.job-started"
set -f
lower() { printf %s "$1" | tr '[:upper:]' '[:lower:]'; }
repository=$(lower "$GITHUB_REPOSITORY")
# Without jq, which an image may lack. In whatever layout, GitHub's payload has no blanks inside these values.
event=$(tr -d ' \n\t\r' < "$GITHUB_EVENT_PATH")

admitted=no
for pattern in $MODAL_RUNNER_ALLOWED_REPOS; do
    [ "$pattern" = "$repository" ] && admitted=named && break
    case "$repository" in
        $pattern) admitted=private ;;
    esac
done
if [ "$admitted" = private ]; then
    # A public repository says so in its event's payload.
    printf %s "$event" | grep -q '"private":false' && admitted=public
fi
case "${GITHUB_EVENT_NAME:-}" in
    pull_request*)
        # The first full name after "head" is that of the repository that the code comes from.
        head=$(printf %s "$event" | sed -n 's/.*"head":{\(.*\)/\1/p' | grep -o '"full_name":"[^"]*"' | head -n 1)
        code=$(lower "$(printf %s "$head" | sed 's/^"full_name":"\(.*\)"$/\1/')")
        [ "$admitted" != no ] && [ "$code" != "$repository" ] && [ "${MODAL_RUNNER_FORKS:-no}" != yes ] && admitted=fork
        ;;
esac
case "$admitted" in
    no) echo "The repository $GITHUB_REPOSITORY may not use these runners; ALLOWED_REPOS does not name it."; exit 1 ;;
    public) echo "The repository $GITHUB_REPOSITORY is public; a public repository uses these runners only when ALLOWED_REPOS or a route names it in full."; exit 1 ;;
    fork) echo "The code of this pull request comes from a fork; forks use these runners only where a route says forks = true."; exit 1 ;;
esac

# A job for which this sandbox was not made runs without what it was given.
made_for=no
for pattern in ${MODAL_RUNNER_MADE_FOR:-}; do
    case "$repository" in
        $pattern) made_for=yes ;;
    esac
done
if [ -n "${MODAL_RUNNER_MADE_FOR:-}" ] && [ "$made_for" = no ]; then
    for name in ${MODAL_RUNNER_OWN_ENV:-}; do
        echo "$name=" >> "$GITHUB_ENV"
    done
    echo "This sandbox was made for another repository's job; its cache, variables and secrets are withheld."
fi
echo "Runs in Modal sandbox ${MODAL_SANDBOX_ID:-?} in ${MODAL_REGION:-?}: ${MODAL_RUNNER_MACHINE:-?}."
