# Runs in two sandboxes at once over one Volume, which the start script has made the tool cache: links, and files of both.
cd "$HOME/.cache-volume/toolcache" || exit 1
mkdir "$PROBE_ME" && echo "$PROBE_ME" > "$PROBE_ME/file" && ln -sfn "$PROBE_ME" "link-$PROBE_ME"
echo "user=$(id -un)"
echo "link=$(cat "link-$PROBE_ME/file" 2>/dev/null || echo no)"
echo "ready=yes"
