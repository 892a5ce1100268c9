# The command of every sandbox. Reads nothing from argv: the JIT config comes in the environment, where the runner
# takes it from and hides it from the job (actions/runner reads and unsets every ACTIONS_RUNNER_INPUT_*).
home=${RUNNER_HOME:-/home/runner}
cd "$home"
export HOME="$home"

# Exit with 7 when GitHub refuses the runner's version; otherwise run.sh answers 0 to nearly everything.
export ACTIONS_RUNNER_RETURN_VERSION_DEPRECATED_EXIT_CODE=1
# Pass SIGTERM on, so that a job that is stopped is reported as cancelled instead of lost.
export RUNNER_MANUALLY_TRAP_SIG=1

# The names of a Modal Secret's variables are known only here: all that are neither the image's, nor Modal's, nor ours.
names() { env -0 | tr '\n' ' ' | tr '\0' '\n' | sed -n 's/^\([A-Za-z_][A-Za-z0-9_]*\)=.*/\1/p'; }
if [ "${MODAL_RUNNER_SECRETS:-no}" = yes ]; then
    known="PATH HOME HOSTNAME USER LOGNAME SHELL SHLVL PWD OLDPWD TERM TZ _ RUNNER_HOME RUNNER_MANUALLY_TRAP_SIG
        MODAL_SANDBOX_ID MODAL_TASK_ID MODAL_REGION MODAL_CLOUD_PROVIDER MODAL_IMAGE_ID MODAL_ENVIRONMENT MODAL_IS_REMOTE
        MODAL_IDENTITY_TOKEN ${MODAL_RUNNER_COMMON_ENV:-} $(cat /etc/modal-runner-env 2>/dev/null || true)"
    for name in $(names); do
        case " $(echo $known) " in
            *" $name "*) continue ;;
        esac
        case "$name" in
            MODAL_RUNNER_* | ACTIONS_RUNNER_*) continue ;;
        esac
        MODAL_RUNNER_OWN_ENV="${MODAL_RUNNER_OWN_ENV:-} $name"
    done
    export MODAL_RUNNER_OWN_ENV
fi

# Caches that survive many writers without locks: files that are written once, under names made from their content.
cache=${MODAL_RUNNER_CACHE:-}
if [ -n "$cache" ] && [ -d "$cache" ]; then
    for part in pip npm huggingface toolcache; do
        mkdir -p "$cache/$part"
        if [ "$(id -u)" = 0 ] && id runner >/dev/null 2>&1; then
            chown runner:runner "$cache/$part" || chmod 1777 "$cache/$part" || true
        fi
    done
    # Through a link, which the hook can point elsewhere: the job's steps inherit the runner's variables.
    ln -sfn "$cache" "$home/.cache-volume"
    export PIP_CACHE_DIR="$home/.cache-volume/pip" npm_config_cache="$home/.cache-volume/npm"
    export HF_HOME="$home/.cache-volume/huggingface"
    export RUNNER_TOOL_CACHE="$home/.cache-volume/toolcache" AGENT_TOOLSDIRECTORY="$home/.cache-volume/toolcache"
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
