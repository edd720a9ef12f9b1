"""HTTP/1.x without sockets: bytes in, facts and bytes out."""
