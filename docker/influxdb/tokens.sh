#!/bin/sh
# Run by InfluxDB's image once its database is made, and never again: a token that may only write for the gateway, one that
# may only read for Grafana. The administrator's token stays where it is.
set -eu

grant() { # may, whom
    influx auth create --json --org "$DOCKER_INFLUXDB_INIT_ORG" --description "$2" \
        "--$1-bucket" "$DOCKER_INFLUXDB_INIT_BUCKET_ID" >/tmp/authorization
    sed -n 's/.*"token": *"\([^"]*\)".*/\1/p' /tmp/authorization >"/tokens/$2/influxdb"
    rm /tmp/authorization
    [ -s "/tokens/$2/influxdb" ] # or the image starts over
}

umask 022 # who may look at all is up to the folder
grant write gateway
grant read grafana
