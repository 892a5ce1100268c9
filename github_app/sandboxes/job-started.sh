# The job-started hook: runs inside the job, before its first step; what it prints stands in the job's log. Any
# repository that the runner group admits can take this runner, so admission is decided here again (admission.jq).
touch "$HOME/.job-started" || true
set -f

withhold() {
    # What is written there takes the place of a variable for every step that follows.
    for name in ${MODAL_RUNNER_OWN_ENV:-}; do
        echo "$name=" >> "$GITHUB_ENV" || return 1
    done
    if [ -L "$HOME/.cache-volume" ]; then
        rm "$HOME/.cache-volume" && mkdir -p "$HOME/.cache-volume/toolcache"
    fi
}

worker() {
    # The process that runs this job's steps: of this one's ancestors the one with that name.
    pid=$PPID
    while [ "${pid:-0}" -gt 1 ]; do
        parent=0 comm=
        while read -r key value _; do
            case "$key" in
                Name:) comm=$value ;;
                PPid:) parent=$value ;;
            esac
        done 2>/dev/null < "/proc/$pid/status" || true
        [ "$comm" = Runner.Worker ] && echo "$pid" && return 0
        pid=$parent
    done
    return 0
}

refuse() {
    # That a hook fails does not end a job: its always() steps, and what actions do before their steps, still run. The
    # death of its Worker does (actions/runner, JobDispatcher.cs); before that the Worker sends what is printed here.
    # Whatever fails on the way, it comes to that: a full disk must not keep the Worker alive.
    set +e
    withhold
    echo "$1"
    pid=$(worker)
    if [ -n "$pid" ]; then
        sleep 2
        rm -f "$HOME/.job-started"
        kill -KILL "$pid"
    fi
    exit 1
}

command -v jq >/dev/null 2>&1 || refuse "The event of this job cannot be read, for this image has no jq: it is not admitted. Add jq to the image (apt = [\"jq\"] in modal-runner.toml)."
answer=$(jq -r '@ADMISSION@' "$GITHUB_EVENT_PATH") || refuse "The event of this job cannot be read: it is not admitted."
case "$answer" in
    "admit ") ;;
    "foreign ")
        withhold || refuse "This sandbox was made for another job, and its variables cannot be withheld: it is not admitted."
        echo "This sandbox was made for another job; its variables, secrets and caches are withheld (its mounts remain)."
        ;;
    "refuse "*) refuse "${answer#refuse }" ;;
    *) refuse "The event of this job makes no sense: it is not admitted." ;;
esac
echo "Runs in Modal sandbox ${MODAL_SANDBOX_ID:-?} in ${MODAL_REGION:-?}: ${MODAL_RUNNER_MACHINE:-?}."
[ -z "${MODAL_RUNNER_AS_ROOT:-}" ] || echo "$MODAL_RUNNER_AS_ROOT"
