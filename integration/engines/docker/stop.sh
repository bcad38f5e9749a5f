docker ps -aq | xargs -r docker rm -f >removed
kill "$(cat dockerd.pid)"
while kill -0 "$(cat dockerd.pid)" 2>still; do sleep 0.1; done
