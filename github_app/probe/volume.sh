# Runs in two sandboxes at once over one Volume, which the start script has made the tool cache: links, and files of both.
echo "user=$(id -un)"
if cd "$HOME/.cache-volume/toolcache" && mkdir "$PROBE_ME" && echo "$PROBE_ME" > "$PROBE_ME/file"; then
    ln -sfn "$PROBE_ME" "link-$PROBE_ME" || true
fi
echo "link=$(cat "link-$PROBE_ME/file" 2>/dev/null || echo no)"
echo "ready=yes"
