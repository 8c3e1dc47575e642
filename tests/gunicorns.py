"""
A real gunicorn for tests, on a port that the system chooses.
"""

import contextlib
import os
import re
import subprocess
import sys
import tempfile
import threading

WORKERS = {"threads": ("--threads", "8"), "gevent": ("--worker-class", "gevent")}


@contextlib.contextmanager
def gunicorn(app, directory, *words, **environment):
    """Serve "module:name" from a directory; gives the server's URL and the lines that it has written so far."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("RATEKIT_")}
    command = [
        sys.executable,
        "-m",
        "gunicorn",
        app,
        "--chdir",
        str(directory),
        *words,
        "--bind",
        "127.0.0.1:0",
        "--no-sendfile",
        "--keep-alive",
        "60",
    ]
    written, listening, url = [], threading.Event(), []
    with (
        tempfile.TemporaryDirectory(prefix="ratekit-") as home,  # newer ones keep a socket there
        subprocess.Popen(
            command, env=plain | {"HOME": home} | environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as server,
    ):

        def read():
            for line in server.stderr:
                written.append(line)
                if found := re.search(r"Listening at: (http://\S+)", line):
                    url.append(found[1])
                    listening.set()
            listening.set()

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        try:
            listening.wait(30)
            assert url, "".join(written)
            yield url[0], written
        finally:
            server.terminate()
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()
            reader.join(10)
