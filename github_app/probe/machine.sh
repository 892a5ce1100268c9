# Runs in place of the runner, below the start script: tells what a job would find, and is then seen as a Worker.
echo "uid=$(id -u)"
echo "user=${USER:-}"
echo "sudo=$(sudo -n id -u 2>/dev/null || echo no)"
echo "threads=${OMP_NUM_THREADS:-unset}"
echo "nproc=$(nproc)"
echo "all=$(nproc --all)"
echo "time=$(date +%s)"
if [ "${PROBE_GPU:-no}" = yes ]; then
    echo "gpu=$(nvidia-smi -L 2>&1 | head -n 1 | cut -c1-80)"
    # As a program loads it, for the linker's cache may not list it.
    load='import ctypes; ctypes.CDLL("libcuda.so.1"); print("loads")'
    echo "libcuda=$(python3 -c "$load" 2>/dev/null || ldconfig -p 2>/dev/null | grep -c libcuda.so)"
    echo "devices=$(ls /dev 2>/dev/null | grep -c nvidia)"
fi
if [ "${PROBE_DOCKER:-no}" = yes ]; then
    # Docker Hub refuses those who load much from one address.
    for image in alpine:3 nginx:alpine; do
        loaded=$(docker pull --quiet "$image" 2>&1) || echo "pull=$(echo "$loaded" | tail -n 1 | cut -c1-200)"
    done
    echo "docker=$(docker run --rm alpine:3 echo works 2>&1 | head -n 1 | cut -c1-200)"
    docker run --detach --publish "$PROBE_PORT:80" nginx:alpine >/dev/null 2>&1 || true
    sleep 2
    echo "port=$(curl --silent --max-time 10 --output /dev/null --write-out '%{http_code}' "http://127.0.0.1:$PROBE_PORT/")"
fi
cp "$(command -v sleep)" ./Runner.Worker
echo "ready=yes"
exec ./Runner.Worker 240
