"""
The redis-servers behind the REST server: plain connections that hand every reply on as it came, and how far a node has come.
"""

import asyncio
from contextlib import suppress

import hiredis


class Node:
    """One redis-server on a loopback port: its connections belong to the event loop that first used them."""

    def __init__(self, port):
        self.port = port
        self._idle = []
        self._read_only = {}

    async def run(self, *commands):
        """The replies to commands that are sent together; an error is a value, with its whole text."""
        connection = self._idle.pop() if self._idle else await asyncio.open_connection("127.0.0.1", self.port)
        reader, writer = connection
        writer.write(b"".join(hiredis.pack_command(tuple(command)) for command in commands))
        parser, replies = hiredis.Reader(), []
        while len(replies) < len(commands):
            data = await reader.read(65_536)
            if not data:
                raise ConnectionError("redis-server hung up")
            parser.feed(data)
            while (reply := parser.gets()) is not False:
                replies.append(reply)
        self._idle.append(connection)
        return replies

    async def ran(self, *commands):
        """The replies, and how far this node has come: a history's name and an offset in it."""
        *replies, info = await self.run(*commands, (b"INFO", b"replication"))
        fields = dict(line.split(":", 1) for line in info.decode().splitlines() if ":" in line)
        offset = fields["master_repl_offset"] if fields["role"] == "master" else fields["slave_repl_offset"]
        return replies, (fields["master_replid"], int(offset))

    async def only_reads(self, name):
        """Whether the server itself says of a command that it only reads."""
        if name not in self._read_only:
            ((info,),) = await self.run((b"COMMAND", b"INFO", name))
            self._read_only[name] = info is not None and b"readonly" in info[2]
        return self._read_only[name]

    async def close(self):
        while self._idle:
            _, writer = self._idle.pop()
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
