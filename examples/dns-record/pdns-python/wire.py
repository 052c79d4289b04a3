"""Sends one request over HTTP, by `wasi:http`: no library of Python's has been seen to work in a component."""

import json
from urllib.parse import urlsplit

from componentize_py_types import Err
from wit_world.imports import outgoing_handler
from wit_world.imports import wasi_http_types as http
from wit_world.imports.streams import StreamError_Closed

# If one of these is the reason, nothing of the request has reached the server.
UNSENT = (
    http.ErrorCode_HttpRequestDenied,
    http.ErrorCode_HttpRequestUriInvalid,
    http.ErrorCode_HttpRequestMethodInvalid,
    http.ErrorCode_DestinationIpProhibited,
    http.ErrorCode_DestinationNotFound,
    http.ErrorCode_DnsError,
    http.ErrorCode_ConnectionRefused,
    http.ErrorCode_TlsCertificateError,
    http.ErrorCode_TlsProtocolError,
    http.ErrorCode_ConfigurationError,
)

METHODS = {"GET": http.Method_Get, "PATCH": http.Method_Patch}


class NoAnswer(Exception):
    """There is no answer; `is_unsent` tells that nothing of the request has reached the server."""

    def __init__(self, reason):
        super().__init__(f"PowerDNS does not answer: {type(reason).__name__}; the flow's log has the reason")
        self.is_unsent = isinstance(reason, UNSENT)


def send(method, url, body=None):
    """Sends a request with a JSON document, and returns the status and the body of the answer. The host adds the key of the API."""
    parts = urlsplit(url)
    request = http.OutgoingRequest(http.Fields())
    request.set_method(METHODS[method]())
    request.set_scheme(http.Scheme_Https() if parts.scheme == "https" else http.Scheme_Http())
    request.set_authority(parts.netloc)
    request.set_path_with_query(f"{parts.path}?{parts.query}" if parts.query else parts.path)
    sending = request.body()
    try:
        coming = outgoing_handler.handle(request, None)
        write(sending, b"" if body is None else json.dumps(body).encode())
        with coming.subscribe() as ready:
            ready.block()
        answer = coming.get()
        # Ready, and taken once.
        answer = answer.value
        if isinstance(answer, Err):
            raise NoAnswer(answer.value)
        with answer.value as response:
            return response.status(), read(response)
    except Err as error:
        raise NoAnswer(error.value) from error


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
