"""Sends requests over HTTP by `wasi:http`: Python's own libraries open sockets, which plugins do not have."""

from urllib.parse import urlsplit

from componentize_py_types import Err
from wit_world.imports import outgoing_handler
from wit_world.imports import wasi_http_types as http
from wit_world.imports.streams import StreamError_Closed

METHODS = {"GET": http.Method_Get, "PUT": http.Method_Put, "DELETE": http.Method_Delete}


class NoAnswer(Exception):
    """The server did not answer as it should; it may have done what it was asked."""


def send(method, url, body=None):
    """Sends a request, and returns the status and the body of the answer."""
    parts = urlsplit(url)
    request = http.OutgoingRequest(http.Fields())
    request.set_method(METHODS[method]())
    request.set_scheme(http.Scheme_Https() if parts.scheme == "https" else http.Scheme_Http())
    request.set_authority(parts.netloc)
    request.set_path_with_query(f"{parts.path}?{parts.query}" if parts.query else parts.path)
    sending = request.body()
    try:
        coming = outgoing_handler.handle(request, None)
        write(sending, (body or "").encode())
        with coming.subscribe() as ready:
            ready.block()
        # It is ready, and taken once.
        answer = coming.get().value
        if isinstance(answer, Err):
            raise NoAnswer(told(method, url, answer.value))
        with answer.value as response:
            return response.status(), read(response)
    except Err as error:
        raise NoAnswer(told(method, url, error.value)) from error


def told(method, url, reason):
    # The log of the host has more.
    return f"the server did not answer {method} {url}: {type(reason).__name__}"


def write(sending, contents):
    """Writes the body of a request: at most 4096 bytes at once, as the stream demands."""
    with sending.write() as stream:
        for start in range(0, len(contents), 4096):
            stream.blocking_write_and_flush(contents[start : start + 4096])
    http.OutgoingBody.finish(sending, None)


def read(response):
    """Reads the body of an answer to its end."""
    parts = []
    with response.consume() as incoming, incoming.stream() as stream:
        while True:
            try:
                parts.append(stream.blocking_read(65536))
            except Err as error:
                if isinstance(error.value, StreamError_Closed):
                    return b"".join(parts).decode()
                raise
