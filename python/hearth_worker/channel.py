"""Newline-delimited JSON over descriptor 3, and the watch on the parent."""

import json
import os
import queue
import signal
import socket
import sys
import threading

LARGEST = 1024 * 1024


def end():
    os.kill(os.getpid(), signal.SIGKILL)


class Channel:
    """One reader thread and one watch. What is answered at once, also while the main thread computes, is given to `direct`."""

    def __init__(self):
        self._socket = socket.socket(fileno=3)
        self._lock = threading.Lock()
        # What is printed by a library must not get in anybody's way: it goes to the log.
        sys.stdout = sys.stderr
        self.messages = queue.SimpleQueue()
        self.masks = queue.SimpleQueue()
        self.direct = None
        # The parent never writes to our standard input: its end means that the parent is gone.
        threading.Thread(target=self._watch, daemon=True).start()

    def start(self):
        threading.Thread(target=self._read, daemon=True).start()

    def send(self, message):
        line = (json.dumps(message, separators=(",", ":"), allow_nan=False) + "\n").encode()
        if len(line) > LARGEST:
            raise ValueError(f"a message of {len(line)} bytes is too long")
        with self._lock:
            self._socket.sendall(line)

    def reply(self, id, value):
        self.send({"kind": "reply", "id": id, "value": value})

    def _watch(self):
        try:
            while os.read(0, 4096):
                pass
        finally:
            end()

    def _read(self):
        rest = b""
        try:
            while chunk := self._socket.recv(65536):
                *lines, rest = (rest + chunk).split(b"\n")
                if len(rest) > LARGEST:
                    break
                for line in lines:
                    message = json.loads(line)
                    if message["kind"] == "stop":
                        os._exit(0)
                    elif message["kind"] == "mask":
                        self.masks.put(message)
                    elif self.direct is None or not self.direct(message):
                        self.messages.put(message)
        finally:
            # The parent is hearth itself: a message that cannot be read means that the two builds differ.
            end()
