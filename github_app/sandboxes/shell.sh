# The command of a shell that someone opens in a running sandbox: $1 is the repository's name, $2 a command or nothing.
# Its first line says the process, the user and the folder.
mr_home=${RUNNER_HOME:-/home/runner}
# Modal gives it what it gave to the sandbox, and its user's other processes, the job's, could read that in /proc.
unset ACTIONS_RUNNER_INPUT_JITCONFIG
for mr_name in ${MODAL_RUNNER_OWN_ENV:-}; do
    case "$mr_name" in
        @KEPT@) continue ;;
        [0-9]*|*[!A-Za-z0-9_]*) continue ;;
    esac
    unset "$mr_name"
done
# As the user that start.sh takes for the runner.
as_user=
if [ "$(id -u)" = 0 ] && id runner >/dev/null 2>&1; then
    as_user="setpriv --reuid=runner --regid=runner --init-groups"
    if [ "${MODAL_RUNNER_SUDO:-try}" = no ] || ! $as_user sudo -n true >/dev/null 2>&1 </dev/null; then
        as_user=
    fi
fi
export HOME="$mr_home" PATH="$mr_home/.local/bin:/opt/pipx_bin:$PATH"
if [ -n "$as_user" ]; then
    export USER=runner LOGNAME=runner
    # Programs that open their terminal by its name need it to be theirs.
    if mr_terminal=$(tty); then chown runner:runner "$mr_terminal" || true; fi
else
    USER=$(id -un) && export USER LOGNAME="$USER"
fi
{ [ -n "$1" ] && cd "$mr_home/_work/$1/$1" 2>/dev/null; } || cd "$mr_home" || cd /
printf '%s %s %s\n' "$$" "$USER" "$PWD"
mr_shell=$(command -v bash || echo /bin/sh)
[ -z "$2" ] || exec $as_user "$mr_shell" -c "$2"
exec $as_user "$mr_shell"
