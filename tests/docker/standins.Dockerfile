# Mosquitto and VictoriaMetrics of Debian, with the users and folders that the images of compose.yaml have.
ARG BASE
FROM ${BASE}
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends mosquitto mosquitto-clients victoria-metrics \
 && install -d -o 1883 -g 1883 /mosquitto/data && install -d -o 1000 -g 1000 /var/lib/influxdb2 /etc/influxdb2
