# The job-started hook: runs inside the job, before its first step; what it prints stands in the job's log. Any
# repository that the runner group admits can take this runner, so admission is decided here again (admission.jq).
# The runner calls it as `bash -e`; whatever shell calls it, what fails refuses.
uptime=
read -r uptime _ 2>/dev/null < /proc/uptime || true
echo "${uptime%%.*}" > "$HOME/.job-started" || true
set -f

as_root() {
    "$@" 2>/dev/null || sudo -n "$@"
}

forget() {
    # No step may find what was given to this sandbox.
    [ ! -e "$HOME/.given" ] || as_root rm -f "$HOME/.given"
    [ ! -e "$HOME/.given" ]
}

mask() {
    # What is written to GITHUB_ENV is a variable of every step that follows, and stands in its log: so what is secret is
    # masked, line by line (docs: "Workflow commands", add-mask).
    name= end=
    while IFS= read -r line; do
        if [ -z "$end" ]; then
            name=${line%%<<*} end=${line#*<<}
        elif [ "$line" = "$end" ]; then
            end=
        elif [ -n "$line" ]; then
            case " ${MODAL_RUNNER_SECRET_ENV:-} " in
                *" $name "*) printf '::add-mask::%s\n' "$(printf '%s' "$line" | sed 's/%/%25/g; s/\r/%0D/g')" ;;
            esac
        fi
    done
}

give() {
    [ -n "${MODAL_RUNNER_OWN_ENV:-}" ] || return 0
    [ -w "${GITHUB_ENV:-}" ] || return 1
    given=$(as_root cat "$HOME/.given") || return 1
    [ -n "$given" ] || { forget; return; }
    printf '%s\n' "$given" | mask || return 1
    printf '%s\n' "$given" >> "$GITHUB_ENV" || return 1
    forget
}

without_cache() {
    if [ -L "$HOME/.cache-volume" ]; then
        rm "$HOME/.cache-volume" && mkdir -p "$HOME/.cache-volume/toolcache"
    fi
}

withhold() {
    forget || return 1
    [ -z "${MODAL_RUNNER_OWN_ENV:-}" ] || [ -w "${GITHUB_ENV:-}" ] || return 1
    # Those that the runner goes by are still there; what is written takes their place for every step.
    for name in ${MODAL_RUNNER_OWN_ENV:-}; do
        case "$name" in [0-9]*|*[!A-Za-z0-9_]*) continue ;; esac
        eval "[ -z \"\${$name-}\" ]" || echo "$name=" >> "$GITHUB_ENV" || return 1
    done
    without_cache
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
    "admit "|"no-cache ")
        if [ "$answer" = "no-cache " ]; then
            without_cache || refuse "The cache of other branches cannot be taken away from this job: run it again."
            echo "This sandbox was made for a job of another branch: this one runs without its cache, which stays mounted."
        fi
        give || refuse "The variables of this job cannot be given to it: run it again."
        [ -z "${MODAL_RUNNER_KEPT_BACK:-}" ] || echo "The secrets and volumes of the profile $MODAL_RUNNER_KEPT_BACK are kept back: nothing but labels keeps other jobs from its runners. An administrator writes runner_group or trust into modal-runner.toml."
        ;;
    "foreign ")
        withhold || refuse "This sandbox was made for another job, and its variables cannot be withheld: it is not admitted."
        echo "This sandbox was made for another job; its variables and secrets are withheld."
        [ -z "${MODAL_RUNNER_MOUNTS:-}" ] || echo "Its volumes stay mounted, and this job could reach them: $MODAL_RUNNER_MOUNTS. Only a runner group keeps jobs apart there."
        ;;
    "refuse "*) refuse "${answer#refuse }" ;;
    *) refuse "The event of this job makes no sense: it is not admitted." ;;
esac
[ -z "${MODAL_RUNNER_DEBUG:-}" ] || : > "$HOME/.job-admitted" || true
echo "Runs in Modal sandbox ${MODAL_SANDBOX_ID:-?} in ${MODAL_REGION:-?}: ${MODAL_RUNNER_MACHINE:-?}."
[ -z "${MODAL_RUNNER_AS_ROOT:-}" ] || echo "$MODAL_RUNNER_AS_ROOT"
