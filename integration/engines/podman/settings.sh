export CONTAINERS_CONF="$WORK/containers.conf"
