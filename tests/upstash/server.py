"""
Upstash's REST protocol in front of real redis-servers: an ASGI application that does what its documentation says.

    POST /              a command as a JSON array
    /SET/key/value      a command as a path; a body is its last argument but for what the query adds: POST /set/key?EX=100
    POST /pipeline      commands, answered one by one
    POST /multi-exec    commands, all or none

Tokens (one for everything, one that only reads) come as `Authorization: Bearer` or as `?_token=`. `Upstash-Encoding: base64` is
honoured. Every reply carries `upstash-sync-token`. What only reads goes to a replica where there is one, and waits there until the
replica has come as far as the token that the request brought. Not served: /monitor, /subscribe, replies as RESP2.
"""

import asyncio
import json
import time
from base64 import b64decode, b64encode
from contextlib import suppress
from urllib.parse import parse_qsl, unquote_to_bytes

import hiredis

METHODS = ("HEAD", "GET", "POST", "PUT")
UNAVAILABLE = {
    *(b"BLPOP", b"BRPOP", b"BRPOPLPUSH", b"BLMOVE", b"BLMPOP", b"BZPOPMIN", b"BZPOPMAX", b"BZMPOP", b"WAIT", b"WAITAOF"),
    *(b"MULTI", b"EXEC", b"DISCARD", b"WATCH", b"UNWATCH", b"SUBSCRIBE", b"PSUBSCRIBE", b"SSUBSCRIBE", b"UNSUBSCRIBE", b"MONITOR"),
    *(b"CLIENT", b"CONFIG", b"CLUSTER", b"DEBUG", b"SHUTDOWN", b"REPLICAOF", b"SLAVEOF", b"AUTH", b"HELLO", b"SELECT", b"QUIT"),
}
POWERFUL = {b"KEYS", b"SCAN"}
HARMLESS = {b"PING", b"ECHO", b"TIME"}
PATIENCE = 10.0
"""Seconds that a request waits for a replica to come as far as its token."""


class Refused(Exception):
    """A request that is answered with an error of the protocol."""

    def __init__(self, status, text):
        super().__init__(text)
        self.status = status


class Database:
    """A primary, and replicas that answer what only reads, in turn."""

    def __init__(self, primary, replicas=()):
        self.primary, self.replicas, self._turn = primary, list(replicas), 0

    async def run(self, commands, token):
        """The replies, and the token of how far the node that answered has come."""
        reads = [await self.primary.only_reads(command[0]) for command in commands]
        if not self.replicas or not all(reads):
            replies, come = await self.primary.ran(*commands)
            return replies, token_of(come)
        self._turn += 1
        replica = self.replicas[self._turn % len(self.replicas)]
        await self.catch_up(replica, token)
        replies, come = await replica.ran(*commands)
        return replies, token_of(come)

    async def catch_up(self, replica, token):
        """Wait until a replica has come as far as a token; one that is none of ours says nothing."""
        end, there = time.monotonic() + PATIENCE, come_of(token)
        while there is not None:
            _, (history, offset) = await replica.ran()
            if there[0] != history or there[1] <= offset:
                return
            if time.monotonic() > end:
                raise Refused(503, "ERR the replica does not catch up")
            await asyncio.sleep(0.002)

    async def close(self):
        for node in (self.primary, *self.replicas):
            await node.close()


def token_of(come):
    return b64encode(f"{come[0]}:{come[1]}".encode()).decode()


def come_of(token):
    with suppress(ValueError):
        history, offset = b64decode(token, validate=True).decode().split(":")
        return history, int(offset)
    return None


class App:
    """The application; `seen` holds (path, commands, sync token) of every request that was let in."""

    def __init__(self, database, *, token="token", read_only="read only token"):
        self.database, self.token, self.read_only, self.seen = database, token, read_only, []

    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        headers = {name.decode().lower(): value.decode() for name, value in scope["headers"]}
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        sync = headers.get("upstash-sync-token", "")
        try:
            status, answer, sync = await self._answer(scope, headers, body, sync)
        except Refused as error:
            status, answer = error.status, {"error": str(error)}
        payload = json.dumps(answer).encode()
        fields = [("content-type", "application/json"), ("content-length", str(len(payload))), ("upstash-sync-token", sync)]
        raw = [(name.encode(), value.encode()) for name, value in fields]
        await send({"type": "http.response.start", "status": status, "headers": raw})
        await send({"type": "http.response.body", "body": payload})

    async def _lifespan(self, receive, send):
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.database.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def _answer(self, scope, headers, body, sync):
        if scope["method"] not in METHODS:
            raise Refused(405, "ERR method not allowed")
        query = parse_qsl(scope["query_string"].decode(), keep_blank_values=True)
        full = self._let_in(headers, query)
        encoding = headers.get("upstash-encoding", "")
        if encoding not in ("", "base64"):
            raise Refused(400, "ERR invalid encoding")
        path = scope["raw_path"].decode().strip("/")
        if path in ("pipeline", "multi-exec"):
            commands = parsed_many(body, path)
        else:
            commands = [parsed(body)] if not path else [from_path(path, query, body)]
        self.seen.append((path, commands, sync))
        checks = [await self._forbidden(command, full=full) for command in commands]
        if path == "multi-exec":
            return await self._transaction(commands, checks, sync, encoding)
        allowed = [command for command, forbidden in zip(commands, checks, strict=True) if not forbidden]
        replies, sync = await self.database.run(allowed, sync) if allowed else ([], sync)
        rest = iter(replies)
        answers = [{"error": forbidden} if forbidden else shown(next(rest), encoding) for forbidden in checks]
        if path == "pipeline":
            return 200, answers, sync
        return 400 if "error" in answers[0] else 200, answers[0], sync

    async def _transaction(self, commands, checks, sync, encoding):
        if any(checks):
            raise Refused(400, "EXECABORT Transaction discarded because of previous errors.")
        replies, sync = await self.database.run([(b"MULTI",), *commands, (b"EXEC",)], sync)
        if isinstance(replies[-1], hiredis.ReplyError):
            return 400, shown(replies[-1], encoding), sync
        return 200, [shown(reply, encoding) for reply in replies[-1]], sync

    def _let_in(self, headers, query):
        """Whether the token is the one for everything; refuses what is no token."""
        kind, _, token = headers.get("authorization", "").partition(" ")
        given = token if kind.lower() == "bearer" else dict(query).get("_token")
        if given not in (self.token, self.read_only):
            raise Refused(401, "WRONGPASS invalid or missing auth token")
        return given == self.token

    async def _forbidden(self, command, *, full):
        """Why a command may not run, or None."""
        name = command[0].upper()
        if name in UNAVAILABLE:
            return f"ERR Command is not available: '{name.decode()}'"
        if full or name in HARMLESS or (name not in POWERFUL and await self.database.primary.only_reads(name)):
            return None
        return f"NOPERM this user has no permissions to run the '{name.decode().lower()}' command"


def parsed(body):
    try:
        return words_of(json.loads(body))
    except ValueError as error:
        raise Refused(400, f"ERR failed to parse command: {error}") from error


def parsed_many(body, what):
    try:
        rows = json.loads(body)
        commands = [words_of(row) for row in rows] if isinstance(rows, list) else []
    except ValueError as error:
        raise Refused(400, f"ERR failed to parse {what} request: {error}") from error
    if not commands:
        raise Refused(400, f"ERR failed to parse {what} request: an array of commands is wanted")
    return commands


def words_of(row):
    """A command's words as bytes: text, and numbers as JSON writes them."""
    if not isinstance(row, list) or not row:
        raise ValueError("a command is an array that is not empty")
    if any(not isinstance(word, str | int | float) for word in row):
        raise ValueError("a word is a string or a number")
    return [word.encode("utf-8", "surrogatepass") if isinstance(word, str) else json.dumps(word).encode() for word in row]


def from_path(path, query, body):
    words = [unquote_to_bytes(part) for part in path.split("/")]
    after = [word.encode() for name, value in query if name != "_token" for word in (name, value) if word]
    return [*words, *([body] if body else []), *after]


def shown(reply, encoding):
    """A reply as the protocol shows it."""
    if isinstance(reply, hiredis.ReplyError):
        return {"error": str(reply)}
    return {"result": coded(reply, encoding)}


def coded(reply, encoding):
    if isinstance(reply, list):
        return [coded(part, encoding) for part in reply]
    if isinstance(reply, hiredis.ReplyError):
        return str(reply)
    if not isinstance(reply, bytes):
        return reply
    if encoding and reply != b"OK":
        return b64encode(reply).decode()
    return reply.decode("utf-8", "replace")
