"""A listening socket on a free loopback port, bound before anyone is told of it."""

import socket


def listen() -> socket.socket:
    """Bind to a port that the kernel picks."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", 0))
    sock.listen(1024)
    return sock
