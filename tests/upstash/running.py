"""
The REST server, started: under uvicorn in a thread of its own, with or without a real replica whose link can be held.
"""

import socket
import threading
from contextlib import contextmanager, suppress

import servers
import uvicorn
from upstash.nodes import Node
from upstash.server import App, Database


class Running:
    """A REST server that answers: `url`, `token`, and `seen`, the requests that it let in."""

    def __init__(self, app, port):
        self.app, self.port = app, port
        self.address = f"http://127.0.0.1:{port}"
        self.token, self.seen = app.token, app.seen
        self.url = f"upstash+http://{app.token}@127.0.0.1:{port}"

    def commands(self):
        """The names of all commands so far, request by request."""
        return [[command[0].decode() for command in commands] for _, commands, _ in self.seen]


@contextmanager
def running(app, port=None, certificate=None):
    """Serve an application until the block ends; over TLS with a certificate: the paths of a key and of what it certifies."""
    port = port or servers.free_port()
    options = {"port": port, "log_level": "error", "ws": "none", "timeout_graceful_shutdown": 1}
    if certificate is not None:
        options |= {"ssl_keyfile": certificate[0], "ssl_certfile": certificate[1]}
    server = uvicorn.Server(uvicorn.Config(app, **options))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    servers.until(lambda: server.started)
    try:
        yield Running(app, port)
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def upstash(redis_server, replicas=(), port=None, certificate=None, **options):
    """The REST server in front of a redis-server and its replicas."""
    nodes = [Node(replica.port) for replica in replicas]
    with running(App(Database(Node(redis_server.port), nodes), **options), port, certificate) as server:
        yield server


class Link:
    """A way from a replica to its primary; while it is held, what the primary says does not arrive."""

    def __init__(self, port):
        self._flows = threading.Event()
        self._flows.set()
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._open = []
        threading.Thread(target=self._accept, daemon=True).start()

    def hold(self):
        self._flows.clear()

    def let_go(self):
        self._flows.set()

    def close(self):
        self.let_go()
        for one in (self._listener, *self._open):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self):
        with suppress(OSError):
            while True:
                replica, _ = self._listener.accept()
                primary = socket.create_connection(("127.0.0.1", self._to))
                self._open += [replica, primary]
                threading.Thread(target=self._pump, args=(replica, primary, None), daemon=True).start()
                threading.Thread(target=self._pump, args=(primary, replica, self._flows), daemon=True).start()

    @staticmethod
    def _pump(source, target, flows):
        with suppress(OSError):
            while data := source.recv(65_536):
                if flows is not None:
                    flows.wait()
                target.sendall(data)


@contextmanager
def replica_of(primary):
    """A redis-server that follows another one over a link that can be held: (replica, link), once it has caught up."""
    with primary.client() as client, servers.RedisServer() as replica, replica.client() as other:
        client.config_set("repl-diskless-sync-delay", 0)
        link = Link(primary.port)
        other.replicaof("127.0.0.1", link.port)
        servers.until(lambda: other.info("replication")["master_link_status"] == "up")
        try:
            yield replica, link
        finally:
            link.close()
