# The command of every sandbox. Reads nothing from argv: the JIT config comes in the environment, where the runner
# takes it from and hides it from the job (actions/runner reads and unsets every ACTIONS_RUNNER_INPUT_*).
home=${RUNNER_HOME:-/home/runner}
cd "$home"
export HOME="$home"

# Exit with 7 when GitHub refuses the runner's version; otherwise run.sh answers 0 to nearly everything.
export ACTIONS_RUNNER_RETURN_VERSION_DEPRECATED_EXIT_CODE=1
# Pass SIGTERM on, so that a job that is stopped is reported as cancelled instead of lost.
export RUNNER_MANUALLY_TRAP_SIG=1

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
