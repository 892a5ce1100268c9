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
    echo "libcuda=$(ldconfig -p 2>/dev/null | grep -c libcuda.so)"
    echo "devices=$(ls /dev 2>/dev/null | grep -c nvidia)"
fi
if [ "${PROBE_DOCKER:-no}" = yes ]; then
    echo "docker=$(docker run --rm alpine:3 echo works 2>&1 | tail -n 1 | cut -c1-80)"
    docker run --detach --publish "$PROBE_PORT:80" nginx:alpine >/dev/null 2>&1 || true
    sleep 2
    echo "port=$(curl --silent --max-time 10 --output /dev/null --write-out '%{http_code}' "http://127.0.0.1:$PROBE_PORT/")"
fi
cp "$(command -v sleep)" ./Runner.Worker
echo "ready=yes"
exec ./Runner.Worker 240
