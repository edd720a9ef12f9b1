"""The version of wsrv: read here by the packaging, by `wsrv --version` and by the statistics."""

VERSION = "0.1.0"
