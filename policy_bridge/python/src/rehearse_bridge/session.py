"""Opening a zenoh session with careful defaults: loopback only, no multicast, capped messages."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import zenoh

RENDEZVOUS = "tcp/127.0.0.1:7447"
LOOPBACK = "tcp/127.0.0.1:0"
MAX_TRANSPORT_BYTES = 128 << 20
_ZENOH_LISTEN = json.loads(zenoh.Config().get_json("listen/endpoints"))


def open_session(
    *,
    connect: Sequence[str] | None = None,
    listen: Sequence[str] | None = None,
    config: str | Path | None = None,
) -> zenoh.Session:
    """Opens a zenoh session.

    `config` is a zenoh configuration file (TLS, user and password, access control, namespace);
    `connect` and `listen` are zenoh endpoints such as `tcp/192.168.1.7:7447`. Whatever they leave
    open is filled in: listening on the loopback interface, multicast scouting off, gossip on, the
    admin space off, messages up to 128 MiB. With none of the three, processes on this machine
    find each other through a port on the loopback interface.
    """
    if connect is None and listen is None and config is None:
        return _open_at_rendezvous()
    settings = _careful(zenoh.Config() if config is None else zenoh.Config.from_file(config))
    if connect is not None:
        settings.insert_json5("connect/endpoints", json.dumps(list(connect)))
    if listen is not None:
        settings.insert_json5("listen/endpoints", json.dumps(list(listen)))
    elif json.loads(settings.get_json("listen/endpoints")) == _ZENOH_LISTEN:
        settings.insert_json5("listen/endpoints", json.dumps({"peer": [LOOPBACK]}))
    return zenoh.open(settings)


def _open_at_rendezvous() -> zenoh.Session:
    first = _careful(zenoh.Config())
    first.insert_json5("listen/endpoints", json.dumps([RENDEZVOUS]))
    try:
        return zenoh.open(first)
    except zenoh.ZError:
        # The port is taken, so somebody is there to meet.
        settings = _careful(zenoh.Config())
        settings.insert_json5("listen/endpoints", json.dumps([LOOPBACK]))
        settings.insert_json5("connect/endpoints", json.dumps([RENDEZVOUS]))
        settings.insert_json5("connect/exit_on_failure", "false")
        return zenoh.open(settings)


def _careful(settings: zenoh.Config) -> zenoh.Config:
    defaults = {
        "mode": '"peer"',
        "scouting/multicast/enabled": "false",
        "scouting/gossip/enabled": "true",
    }
    for key, value in defaults.items():
        if settings.get_json(key) == "null":
            settings.insert_json5(key, value)
    limit = int(settings.get_json("transport/link/rx/max_message_size"))
    settings.insert_json5(
        "transport/link/rx/max_message_size", str(min(limit, MAX_TRANSPORT_BYTES))
    )
    return settings
