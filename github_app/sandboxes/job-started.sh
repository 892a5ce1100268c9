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
matches() {
    # Whether $1 is matched by one of the globs in $2.
    for glob in $2; do
        case "$1" in
            $glob) return 0 ;;
        esac
    done
    return 1
}
case "${GITHUB_EVENT_NAME:-}" in
    pull_request*)
        # The repository that the code comes from is the first after "head"; null when that fork is gone.
        head=$(printf %s "$event" | sed -n 's/.*"head":{\(.*\)/\1/p')
        code=$(printf %s "${head%%\"base\":*}" | grep -o '"full_name":"[^"]*"' | head -n 1 || true)
        code=$(lower "$(printf %s "$code" | sed 's/^"full_name":"\(.*\)"$/\1/')")
        if [ "$admitted" != no ] && [ "$code" != "$repository" ] && ! matches "$repository" "${MODAL_RUNNER_FORKS:-}"; then
            admitted=fork
        fi
        ;;
esac
case "$admitted" in
    no) echo "The repository $GITHUB_REPOSITORY may not use these runners; ALLOWED_REPOS does not name it."; exit 1 ;;
    public) echo "The repository $GITHUB_REPOSITORY is public; a public repository uses these runners only when ALLOWED_REPOS or a route names it in full."; exit 1 ;;
    fork) echo "The code of this pull request comes from a fork; forks use these runners only where a route says forks = true."; exit 1 ;;
esac

# A job for which this sandbox was not made runs without what it was given.
made_for=yes
if [ -n "${MODAL_RUNNER_MADE_FOR:-}" ]; then
    matches "$repository" "$MODAL_RUNNER_MADE_FOR" || made_for=no
    if [ -n "${MODAL_RUNNER_EVENTS:-}" ]; then
        matches "${GITHUB_EVENT_NAME:-}" "$MODAL_RUNNER_EVENTS" || made_for=no
    fi
    case "$(lower "${GITHUB_HEAD_REF:-${GITHUB_REF_NAME:-}}")" in
        ${MODAL_RUNNER_BRANCH:-*}) ;;
        *) made_for=no ;;
    esac
    case "$(lower "${GITHUB_WORKFLOW:-}")" in
        ${MODAL_RUNNER_WORKFLOW:-*}) ;;
        *) made_for=no ;;
    esac
fi
if [ "$made_for" = no ]; then
    for name in ${MODAL_RUNNER_OWN_ENV:-}; do
        echo "$name=" >> "$GITHUB_ENV"
    done
    if [ -L "$HOME/.cache-volume" ]; then
        rm "$HOME/.cache-volume"
        mkdir -p "$HOME/.cache-volume/toolcache"
    fi
    echo "This sandbox was made for another job; its variables, secrets and caches are withheld (its mounts remain)."
fi
echo "Runs in Modal sandbox ${MODAL_SANDBOX_ID:-?} in ${MODAL_REGION:-?}: ${MODAL_RUNNER_MACHINE:-?}."
