"""The options of what others see of the daemon, and of who they must be: [observe], [security]."""

from typing import Annotated, Literal

from msgspec import Meta

from streamlearn.schema import Section


class ObserveOptions(Section, frozen=True, kw_only=True):
    """`[observe]`: the metrics page and the log."""

    bind: Annotated[
        str, Meta(description='HTTP address of /metrics /livez /readyz. "" is off.')
    ] = "127.0.0.1:9464"
    certificate: Annotated[
        str, Meta(description='PEM file of its certificate, for HTTPS. "": plain HTTP.')
    ] = ""
    key: Annotated[str, Meta(description="PEM file of the certificate's key, mode 0600.")] = ""
    client_ca: Annotated[
        str, Meta(description="PEM file of who signs the certificates that clients must show.")
    ] = ""
    token_file: Annotated[
        str,
        Meta(
            description="File, mode 0600, of the token that clients must give, as Bearer or as the "
            "password of Basic; /livez and /readyz need none."
        ),
    ] = ""
    log: Annotated[Literal["console", "json"], Meta(description="How log lines look.")] = "console"
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Meta(description="Least severe line that is logged.", extra={"live": True}),
    ] = "info"


class SecurityOptions(Section, frozen=True, kw_only=True):
    """`[security]`: who may reach the sockets; keys are made by `streamlearn keygen`."""

    server_key: Annotated[
        str,
        Meta(
            description="The daemon's key file, NAME.key_secret; with one, every ZeroMQ socket is "
            'encrypted and only allowed clients connect. "": plain text.'
        ),
    ] = ""
    allowed: Annotated[
        str, Meta(description="Folder of allowed clients, one file each; read again on change.")
    ] = ""
    allow_plain: Annotated[
        bool, Meta(description="Allow addresses that other machines reach, without encryption.")
    ] = False
    max_connections: Annotated[
        int, Meta(ge=1, le=1 << 16, description="Most connections of each ZeroMQ socket.")
    ] = 256
    max_connections_each: Annotated[
        int,
        Meta(
            ge=1,
            le=1 << 16,
            description="Most of them from one address, and of one key, so that others have room.",
        ),
    ] = 128
    handshake_s: Annotated[
        float,
        Meta(
            ge=0.1,
            le=600.0,
            description="How long a connection may take to prove who it is.",
            extra={"unit": "s"},
        ),
    ] = 10.0
