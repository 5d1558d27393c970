"""MQTT itself, for whoever speaks it: the driver and the sink. A session with a broker, and what topics may be.

`topic`, `packet` and `inbox` are pure; `session` and `pump` hold the connection, on paho-mqtt.
"""
