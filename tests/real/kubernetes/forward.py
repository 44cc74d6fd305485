#!/usr/bin/env python3
"""Carries connections from loopback into a cluster: forward.py PORT NETNS ADDRESS:PORT, where port 0 is any free one.

Prints where it listens, then runs until it is ended.
"""

import ctypes
import os
import socket
import sys
import threading

CLONE_NEWNET = 0x40000000

port, netns, target = int(sys.argv[1]), sys.argv[2], sys.argv[3].rsplit(":", 1)
try:
    listener = socket.create_server(("127.0.0.1", port))
except OSError as error:
    sys.exit(f"forward.py: cannot listen on 127.0.0.1:{port}: {error.strerror}")
print("{}:{}".format(*listener.getsockname()), flush=True)

# A socket stays in the network that it was made in: those to come are the cluster's, the one above is not.
libc = ctypes.CDLL(None, use_errno=True)
if libc.setns(os.open(netns, os.O_RDONLY), CLONE_NEWNET):
    sys.exit(f"forward.py: cannot enter {netns}: {os.strerror(ctypes.get_errno())}")


def pour(source, into):
    try:
        while data := source.recv(65536):
            into.sendall(data)
        into.shutdown(socket.SHUT_WR)
    except OSError:
        # One side is gone: so is the other.
        for end in (source, into):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def carry(near):
    with near:
        try:
            far = socket.create_connection((target[0], int(target[1])), 5)
        except OSError:
            return
        with far:
            far.settimeout(None)
            back = threading.Thread(target=pour, args=(far, near), daemon=True)
            back.start()
            pour(near, far)
            back.join()


while True:
    connection, _ = listener.accept()
    threading.Thread(target=carry, args=(connection,), daemon=True).start()
