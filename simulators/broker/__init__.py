"""An MQTT broker for the demo, for when Mosquitto is not installed: on loopback, in memory, open to all.

It speaks MQTT 3.1.1 and 5.0: QoS 0 and 1, persistent sessions with expiry, redelivery (DUP), receive maximum, maximum
packet size, keep alive, wildcards, no local, retain as published, wills (without delay).

It leaves out, and says so in its CONNACK where MQTT 5 can: QoS 2, retained messages (the flag is taken, nothing is
stored), shared subscriptions, subscription identifiers, topic aliases; also message expiry, authentication and TLS.

| bounded                                | by                             | beyond it                         |
|----------------------------------------|--------------------------------|-----------------------------------|
| a packet                               | `--max-packet`, 1 MiB          | the client is let go              |
| messages waiting in a session          | 100,000, or 64 MiB of payload  | the new one is dropped, counted   |
| QoS 1 messages under way to a client   | its receive maximum            | they wait                         |
| bytes that a client leaves unread      | 8 MiB                          | the client is let go              |
| subscriptions of a session, sessions   | 1,000 each                     | quota exceeded                    |
"""
