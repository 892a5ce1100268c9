"""A listening socket on a free loopback port, bound before anyone is told of it."""

import socket


def listen(host: str = "127.0.0.1", port: int = 0) -> socket.socket:
    """Bind to a port, or with 0 to one that the kernel picks."""
    # asyncio turns Nagle's algorithm off only where the protocol is named; with it an answer may take 40 ms.
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(1024)
    except BaseException:
        sock.close()
        raise
    return sock
