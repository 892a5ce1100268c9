# The job-started hook: runs inside the job, before its first step; what it prints stands in the job's log, and its
# failure fails the job. Any repository that the runner group admits can take this runner, so admission is checked here
# again, by the rules of policy.py.
touch "$HOME/.job-started"
set -f
repository=$(printf %s "$GITHUB_REPOSITORY" | tr '[:upper:]' '[:lower:]')
admitted=no
[ -z "$MODAL_RUNNER_ALLOWED_REPOS" ] && admitted=named
for pattern in $(printf %s "$MODAL_RUNNER_ALLOWED_REPOS" | tr '[:upper:]' '[:lower:]'); do
    [ "$pattern" = "$repository" ] && admitted=named && break
    case "$repository" in
        $pattern) admitted=private ;;
    esac
done
if [ "$admitted" = private ]; then
    # Without jq: a public repository says so in its event's payload, in whatever layout.
    tr -d ' \n\t\r' < "$GITHUB_EVENT_PATH" | grep -q '"private":false' && admitted=public
fi
case "$admitted" in
    no) echo "The repository $GITHUB_REPOSITORY may not use these runners; ALLOWED_REPOS does not name it." ;;
    public) echo "The repository $GITHUB_REPOSITORY is public; a public repository uses these runners only when ALLOWED_REPOS names it in full." ;;
    *) echo "Runs in Modal sandbox ${MODAL_SANDBOX_ID:-?}, region ${MODAL_REGION:-?}."; exit 0 ;;
esac
exit 1
