# The job-completed hook: runs after the job's last step, while its Worker process is still there to be seen; what it
# prints stands in the job's log. Whatever comes of that, it succeeds: a hook that fails makes its job fail. A job can
# write over what is read here, and no more than lie to its own log.
now= job_began=
read -r now _ 2>/dev/null < /proc/uptime || true
now=${now%%.*}
read -r job_began 2>/dev/null < "$HOME/.job-started" || true
rm -f "$HOME/.job-started" 2>/dev/null || true

is_number() {
    case "$1" in
        ''|0?*|*[!0-9]*|????????????*) return 1 ;;
    esac
}

dollars() {
    # Of millionths.
    if [ "$1" -lt 10000 ]; then
        echo 'less than $0.01'
    else
        cents=$((($1 + 5000) / 10000))
        printf 'about $%d.%02d\n' "$((cents / 100))" "$((cents % 100))"
    fi
}

tell_the_price() {
    is_number "$now" && is_number "${MODAL_RUNNER_BEGAN:-}" && is_number "${MODAL_RUNNER_PRICE:-}" || return 0
    [ "$now" -ge "$MODAL_RUNNER_BEGAN" ] || return 0
    took=$((now - MODAL_RUNNER_BEGAN))
    tenths=$(((took + 3) / 6))
    printf 'Modal Runner: %s for %d.%d minutes: %s (an estimate, by list prices of Modal of %s).' \
        "$MODAL_RUNNER_PRICED" "$((tenths / 10))" "$((tenths % 10))" \
        "$(dollars $((MODAL_RUNNER_PRICE * took / 60)))" "$MODAL_RUNNER_PRICES_OF"
    if is_number "${MODAL_RUNNER_GITHUB_PRICE:-}" && is_number "$job_began" && [ "$now" -ge "$job_began" ]; then
        # GitHub counts the job alone, and each minute that has begun.
        minutes=$(((now - job_began + 59) / 60))
        [ "$minutes" -gt 0 ] || minutes=1
        printf " GitHub's own runner of this size would be %s." "$(dollars $((MODAL_RUNNER_GITHUB_PRICE * minutes)))"
    fi
    echo
}

(tell_the_price) 2>/dev/null || true
# Whether it has failed a hook is not told.
[ -z "${MODAL_RUNNER_DEBUG:-}" ] || echo "If this job has failed, and asked for it by a label, Modal Runner keeps this sandbox for $((MODAL_RUNNER_DEBUG / 60)) minutes: modal-runner shell $MODAL_RUNNER_NAME" || true
exit 0
