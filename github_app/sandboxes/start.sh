# The command of every sandbox. Reads nothing from argv: the JIT config comes in the environment, where the runner
# takes it from and hides it from the job (actions/runner reads and unsets every ACTIONS_RUNNER_INPUT_*).
home=${RUNNER_HOME:-/home/runner}
cd "$home"
export HOME="$home"

# Exit with 7 when GitHub refuses the runner's version; otherwise run.sh answers 0 to nearly everything.
export ACTIONS_RUNNER_RETURN_VERSION_DEPRECATED_EXIT_CODE=1
# Pass SIGTERM on, so that a job that is stopped is reported as cancelled instead of lost.
export RUNNER_MANUALLY_TRAP_SIG=1

# The names of a Modal Secret's variables are known only here: all that neither a shell, nor Modal, nor we have set.
if [ "${MODAL_RUNNER_SECRETS:-no}" = yes ]; then
    MODAL_RUNNER_OWN_ENV=$(env | sed -n 's/^\([A-Za-z_][A-Za-z0-9_]*\)=.*/\1/p' | grep -Ev \
        '^(PATH|HOME|HOSTNAME|USER|LOGNAME|SHELL|SHLVL|PWD|OLDPWD|TERM|TZ|LANG|LC_[A-Z]+|DEBIAN_FRONTEND|ImageOS|_)$|^(MODAL|RUNNER|ACTIONS|AGENT)_' \
        | tr '\n' ' ')
    export MODAL_RUNNER_OWN_ENV
fi

# Caches that survive many writers without locks: files that are written once, under names made from their content.
cache=${MODAL_RUNNER_CACHE:-}
if [ -n "$cache" ] && [ -d "$cache" ]; then
    for part in pip npm huggingface toolcache; do
        mkdir -p "$cache/$part"
        [ "$(id -u)" = 0 ] && id runner >/dev/null 2>&1 && chown runner:runner "$cache/$part"
    done
    export PIP_CACHE_DIR="$cache/pip" npm_config_cache="$cache/npm" HF_HOME="$cache/huggingface"
    export RUNNER_TOOL_CACHE="$cache/toolcache" AGENT_TOOLSDIRECTORY="$cache/toolcache"
    MODAL_RUNNER_OWN_ENV="${MODAL_RUNNER_OWN_ENV:-} PIP_CACHE_DIR npm_config_cache HF_HOME"
    export MODAL_RUNNER_OWN_ENV
fi

# Docker is ready before the runner takes a job, or the sandbox ends and says why.
case "${MODAL_RUNNER_DOCKER:-no}" in
    vm) dockerd >/tmp/dockerd.log 2>&1 & ;;
    gvisor)
        # There dockerd can set up neither firewall nor bridge: containers run with --network host.
        update-alternatives --set iptables /usr/sbin/iptables-legacy >/dev/null 2>&1 || true
        dockerd --iptables=false --ip6tables=false --bridge=none >/tmp/dockerd.log 2>&1 &
        ;;
esac
if [ "${MODAL_RUNNER_DOCKER:-no}" != no ]; then
    tries=0
    until docker info >/dev/null 2>&1; do
        tries=$((tries + 1))
        if [ "$tries" -gt 60 ]; then
            echo "dockerd was not ready in a minute:"
            tail -n 5 /tmp/dockerd.log
            exit 1
        fi
        sleep 1
    done
fi

# The first hook checks admission and leaves a mark, by which a busy runner is known beside its Worker process; the
# second takes the mark away, so that a sandbox that lingers after its job is known to be idle.
cat > "$home/job-started.sh" <<'HOOK'
@JOB-STARTED@
HOOK
cat > "$home/job-completed.sh" <<'HOOK'
@JOB-COMPLETED@
HOOK
export ACTIONS_RUNNER_HOOK_JOB_STARTED="$home/job-started.sh"
export ACTIONS_RUNNER_HOOK_JOB_COMPLETED="$home/job-completed.sh"

if [ "$(id -u)" = 0 ] && id runner >/dev/null 2>&1; then
    exec setpriv --reuid=runner --regid=runner --init-groups ./run.sh
fi
# The runner refuses to run as root unless told that this is meant.
export RUNNER_ALLOW_RUNASROOT=1
exec ./run.sh
