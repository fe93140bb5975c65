#!/bin/sh
# Replaces every container of a Compose service by a new one, with nothing lost: one more is started,
# and once it is healthy an old one is stopped, one after the other. So there is memory and, with
# GPUs, device memory to have for one more replica.
#   docker compose build && sh deploy/rollout.sh worker && sh deploy/rollout.sh gateway
# The Compose files, the project and variables are those of .env and COMPOSE_*, as for `docker compose`.
# Gateways need docker-compose.ingress.yml: two cannot publish one port.
set -eu
service=${1:?name a service: worker or gateway}
old=$(docker compose ps --quiet "$service")
count=$(printf '%s\n' "$old" | grep -c .) || { echo "no container of $service runs" >&2; exit 1; }
for container in $old; do
    docker compose up --detach --no-deps --no-recreate --no-build --scale "$service=$((count + 1))" \
        --wait "$service"
    sleep "${ROLLOUT_SETTLE_S:-5}" # until its clients have looked names up again
    docker stop "$container" >/dev/null
    docker rm "$container" >/dev/null
    echo "$service: $container was replaced"
done
