# The job-completed hook: runs after the job's last step, while its Worker process is still there to be seen.
rm -f "$HOME/.job-started"
