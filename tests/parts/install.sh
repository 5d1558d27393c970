#!/bin/sh
# The counterparts that tests and benchmarks need, from Debian's packages. Says what it does; changes nothing where it may not.
set -eu

missing=""
need() { # program package
    PATH="$PATH:/usr/sbin:/usr/local/sbin" command -v "$1" >/dev/null 2>&1 || missing="$missing $2"
}
need mosquitto mosquitto
need mosquitto_pub mosquitto-clients
need mbpoll mbpoll
need influxd influxdb
need victoria-metrics victoria-metrics
need nginx nginx-light
need nats-server nats-server
need coap-server-notls libcoap3-bin
need node nodejs
need npm npm
need podman podman
need runc runc
need iptables iptables
need strace strace
need mkfs.ext4 e2fsprogs
need ip iproute2
need mmdebstrap mmdebstrap
[ -x /usr/lib/podman/netavark ] || missing="$missing netavark"
[ -x /usr/lib/podman/aardvark-dns ] || missing="$missing aardvark-dns"
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing="$missing postgresql"
need gcc gcc
need pkg-config pkg-config
[ -e /usr/include/modbus/modbus.h ] || missing="$missing libmodbus-dev libc6-dev"

[ -n "$missing" ] || exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing for the tests:$missing"
    apt-get update -qq
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
else
    echo "these are missing, and the tests that need them are skipped:$missing"
    echo "    sudo apt-get install --no-install-recommends$missing"
fi
