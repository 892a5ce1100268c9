# The command of every sandbox. Reads nothing from argv: the JIT config and what a profile gives come in the environment.
# What lives on after this script has neither there, where the first job that comes could read them in /proc.
mr_home=${RUNNER_HOME:-/home/runner}
cd "$mr_home"
export HOME="$mr_home"
# From here on Modal bills, which the second hook tells of: by the machine's seconds, read without another process.
MODAL_RUNNER_BEGAN=
read -r MODAL_RUNNER_BEGAN _ 2>/dev/null < /proc/uptime || true
export MODAL_RUNNER_BEGAN="${MODAL_RUNNER_BEGAN%%.*}"

# What is for the jobs alone that this sandbox was made for goes into a file of root's, in the form of GITHUB_ENV; the
# hook hands it to such a job, and removes it in every case. What the runner itself goes by stays, and so does what
# GITHUB_ENV does not take.
if [ -n "${MODAL_RUNNER_OWN_ENV:-}" ]; then
    rm -f "$mr_home/.given"
    (umask 077 && : > "$mr_home/.given")
    for mr_name in $MODAL_RUNNER_OWN_ENV; do
        case "$mr_name" in
            @KEPT@) continue ;;
            [0-9]*|*[!A-Za-z0-9_]*) continue ;;
        esac
        eval "[ -n \"\${$mr_name+x}\" ]" || continue
        eval "mr_value=\$$mr_name"
        mr_end="end-$(cat /proc/sys/kernel/random/uuid)"
        printf '%s<<%s\n%s\n%s\n' "$mr_name" "$mr_end" "$mr_value" "$mr_end" >> "$mr_home/.given"
        unset "$mr_name"
    done
    unset mr_value
fi

# As the user `runner`, unless sudo does not work for it: gVisor can be run so that setuid programs have no effect, and
# workflows lean on sudo. Then the runner is root. MODAL_RUNNER_SUDO=no: that was found out before, and is not tried.
as_user=
if [ "$(id -u)" = 0 ] && id runner >/dev/null 2>&1; then
    as_user="setpriv --reuid=runner --regid=runner --init-groups"
    if [ "${MODAL_RUNNER_SUDO:-try}" = no ] || ! $as_user sudo -n true >/dev/null 2>&1; then
        as_user=
        export MODAL_RUNNER_AS_ROOT="sudo does not work in this sandbox, so the runner and its jobs run as root."
        echo "$MODAL_RUNNER_AS_ROOT"
    fi
fi
# actions/runner reads its configuration from the files that a JIT config consists of (Runner.cs writes just these): base64
# of a JSON object of names and base64.
if [ -e bin/Runner.Listener ] && [ -n "${ACTIONS_RUNNER_INPUT_JITCONFIG:-}" ]; then
    written=
    for entry in $(printf '%s' "$ACTIONS_RUNNER_INPUT_JITCONFIG" | base64 -d 2>/dev/null | tr -d '[:space:]' | tr '{},' '   '); do
        file=${entry%%\":*} content=${entry#*:\"}
        file=${file#\"}
        case "$file" in
            .[A-Za-z]*) (umask 077 && printf '%s' "${content%\"}" | base64 -d > "${file##*/}") && written="$written $file" ;;
            # What is not understood is left to the runner.
            *) written= && break ;;
        esac
    done
    case "$written" in
        *" .runner "*|*" .runner")
            [ -z "$as_user" ] || chown runner:runner $written
            unset ACTIONS_RUNNER_INPUT_JITCONFIG ;;
    esac
    unset entry file content written
fi
if [ -n "$as_user" ]; then
    export USER=runner LOGNAME=runner
else
    # The runner refuses to run as root unless told that this is meant.
    export RUNNER_ALLOW_RUNASROOT=1 USER="$(id -un)" LOGNAME="$(id -un)"
fi
export PATH="$mr_home/.local/bin:/opt/pipx_bin:$PATH"

# Which system this is, by the name that GitHub's images give themselves: some setup-* actions choose by it.
if [ -z "${ImageOS:-}" ] && [ -r /etc/os-release ]; then
    ImageOS=$(. /etc/os-release && echo "${ID:-linux}${VERSION_ID%%.*}")
    export ImageOS
fi

# Modal derives these from the CPU request, and `nproc` obeys the first: a job may use as many as its limit allows.
for name in OMP_NUM_THREADS OPENBLAS_NUM_THREADS MKL_NUM_THREADS; do
    case " ${MODAL_RUNNER_OWN_ENV:-} ${MODAL_RUNNER_COMMON_ENV:-} " in
        *" $name "*) ;;
        *) [ -z "${MODAL_RUNNER_THREADS:-}" ] || export "$name=$MODAL_RUNNER_THREADS" ;;
    esac
done

# Exit with 7 when GitHub refuses the runner's version; otherwise run.sh answers 0 to nearly everything.
export ACTIONS_RUNNER_RETURN_VERSION_DEPRECATED_EXIT_CODE=1

# Caches that survive many writers without locks: files that are written once, under names made from their content.
cache=${MODAL_RUNNER_CACHE:-}
# What root has written, the user of another sandbox could not write over.
[ -z "$cache" ] || [ -z "${MODAL_RUNNER_AS_ROOT:-}" ] || { cache="$cache/as-root"; mkdir -p "$cache"; }
if [ -n "$cache" ] && [ -d "$cache" ]; then
    for part in pip npm huggingface toolcache; do
        mkdir -p "$cache/$part"
        if [ -n "$as_user" ]; then
            chown runner:runner "$cache/$part" || chmod 1777 "$cache/$part" || true
        fi
    done
    # Through a link, which the hook can point elsewhere: the job's steps inherit the runner's variables.
    ln -sfn "$cache" "$mr_home/.cache-volume"
    export PIP_CACHE_DIR="$mr_home/.cache-volume/pip" npm_config_cache="$mr_home/.cache-volume/npm"
    export HF_HOME="$mr_home/.cache-volume/huggingface"
    export RUNNER_TOOL_CACHE="$mr_home/.cache-volume/toolcache" AGENT_TOOLSDIRECTORY="$mr_home/.cache-volume/toolcache"
fi

# Docker is ready before the runner takes a job, or the sandbox ends and says why.
case "${MODAL_RUNNER_DOCKER:-no}" in
    vm) dockerd >"$mr_home/dockerd.log" 2>&1 & daemon=$! ;;
    gvisor)
        # There dockerd can set up neither firewall nor bridge: containers run with --network host. And Docker 29 keeps
        # images in containerd's snapshotter, whose overlay needs what gVisor has not (gvisor.dev, tutorials/docker).
        update-alternatives --set iptables /usr/sbin/iptables-legacy >/dev/null 2>&1 || true
        echo '{}' > "$mr_home/daemon.json"
        [ ! -s /etc/docker/daemon.json ] || cat /etc/docker/daemon.json > "$mr_home/daemon.json"
        settings=$(jq '.features["containerd-snapshotter"] = false' "$mr_home/daemon.json")
        echo "$settings" > "$mr_home/daemon.json"
        dockerd --config-file "$mr_home/daemon.json" --iptables=false --ip6tables=false --bridge=none >"$mr_home/dockerd.log" 2>&1 &
        daemon=$!
        ;;
esac
if [ "${MODAL_RUNNER_DOCKER:-no}" != no ]; then
    tries=0
    until docker info >/dev/null 2>&1; do
        tries=$((tries + 1))
        if ! kill -0 "$daemon" 2>/dev/null; then
            echo "dockerd has ended: $(tail -n 5 "$mr_home/dockerd.log")"
            exit 1
        fi
        if [ "$tries" -gt 60 ]; then
            echo "dockerd was not ready in a minute: $(tail -n 5 "$mr_home/dockerd.log")"
            exit 1
        fi
        [ "$((tries % 10))" != 1 ] || echo "waiting for dockerd"
        sleep 1
    done
fi

# The first hook checks admission and leaves a mark, by which a busy runner is known beside its Worker process; the
# second takes the mark away, so that a sandbox that lingers after its job is known to be idle, and says what it cost.
cat > "$mr_home/job-started.sh" <<'HOOK'
@JOB-STARTED@
HOOK
cat > "$mr_home/job-completed.sh" <<'HOOK'
@JOB-COMPLETED@
HOOK
export ACTIONS_RUNNER_HOOK_JOB_STARTED="$mr_home/job-started.sh"
export ACTIONS_RUNNER_HOOK_JOB_COMPLETED="$mr_home/job-completed.sh"

if [ "${MODAL_RUNNER_DOCKER:-no}" != vm ] && [ -z "${MODAL_RUNNER_DEBUG:-}" ]; then
    # run.sh passes SIGTERM on to its process group, so that a job that is stopped is reported as cancelled.
    export RUNNER_MANUALLY_TRAP_SIG=1
    exec $as_user ./run.sh
fi
# In Modal's VM runtime a signal to a process group is taken and not delivered: the listener is told by its number. A
# shell of its own does that, without what this one was given. It also keeps a sandbox whose job has failed.
exec /bin/sh -euc '
run=
is_ours() {
    of=$1
    while [ "${of:-0}" -gt 1 ] && [ "$of" != "$run" ]; do
        parent=0
        while read -r key value _; do
            [ "$key" != PPid: ] || parent=$value
        done 2>/dev/null < "/proc/$of/status" || true
        of=$parent
    done
    [ "$of" = "$run" ]
}
stop() {
    for comm in /proc/[0-9]*/comm; do
        read -r name 2>/dev/null < "$comm" || continue
        [ "$name" = Runner.Listener ] || continue
        pid=${comm#/proc/} pid=${pid%/comm}
        # A job may run listeners of its own, and a simulated sandbox may see those of others.
        ! is_ours "$pid" || kill -INT "$pid" || true
    done
}
has_failed() {
    # Of a job that was admitted, by what the listener writes last (actions/runner, JobDispatcher.cs). Where it says
    # nothing, the App ends what has not.
    [ -e "$HOME/.job-admitted" ] || return 1
    result=$(sed -n "s/.*finish job request for job .* with result: //p" _diag/Runner_*.log 2>/dev/null | tail -n 1)
    case "$result" in ""|Failed*) return 0 ;; esac
    return 1
}
keep() {
    echo "The job has failed: this sandbox is kept for $MODAL_RUNNER_DEBUG seconds."
    trap "exit 143" INT TERM
    sleep "$MODAL_RUNNER_DEBUG" &
    wait "$!" || true
}
trap stop INT TERM
"$@" ./run.sh &
run=$!
while :; do
    wait "$run" && code=0 || code=$?
    # A signal ends the wait, and not the runner; one that has ended meanwhile is asked for its own code.
    if ! kill -0 "$run" 2>/dev/null; then
        [ "$code" -le 128 ] || { wait "$run" && own=0 || own=$?; [ "$own" = 127 ] || code=$own; }
        [ -z "${MODAL_RUNNER_DEBUG:-}" ] || ! has_failed || keep
        exit "$code"
    fi
done
' stop env $as_user
