"""Keeps cards at a server, one for each object."""

import json
import tomllib
from pathlib import Path

from client import NoAnswer, send
from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.external import Failure_Refused, Failure_Unsure, Presence_Absent, Presence_Partial, Presence_Whole
from wit_world.exports.plugin import Descriptor
from wit_world.imports import context
from wit_world.imports.cairn_plugin_types import Error

# Read when the component is built, so that the version is in pyproject.toml only.
with open(Path(__file__).with_name("pyproject.toml"), "rb") as file:
    VERSION = tuple(map(int, tomllib.load(file)["project"]["version"].split(".")[:2]))

SETTINGS = {
    "type": "object",
    "properties": {"url": {"type": "string"}},
    "required": ["url"],
    "additionalProperties": False,
}

# The only kind of objects.
KIND = "card"


def ask(method, path, body=None):
    """Sends a request. Returns the body of the answer; None if the server has nothing there."""
    status, body = send(method, json.loads(context.settings())["url"] + path, body)
    if status == 404:
        return None
    if status != 200:
        raise NoAnswer(f"the server answered {method} {path} with {status}")
    return body


def unknown(error):
    """Returns the exception of a question that has no answer."""
    return Err(Error("ServerSilent", str(error), None))


def unsure(error):
    """Returns the exception of an act that may have changed something."""
    return Err(Failure_Unsure(Error("ServerSilent", str(error), None)))


class Plugin(exports.Plugin):
    def settings_schema(self):
        return json.dumps(SETTINGS)

    def describe(self, settings):
        return Descriptor(name="my-plugin", version=VERSION, requires=[], optional=[], provides=[])


class External(exports.External):
    def look(self, what):
        try:
            text = ask("GET", f"/cards/{what.id}") if what.kind == KIND else None
        except NoAnswer as error:
            raise unknown(error) from error
        if text is None:
            return Presence_Absent()
        try:
            return Presence_Whole(json.dumps(json.loads(text)))
        except ValueError:
            return Presence_Partial()

    def make(self, what, spec):
        spec = json.loads(spec)
        name = spec.get("name") if isinstance(spec, dict) else None
        if what.kind != KIND or not isinstance(name, str) or not name:
            # Nothing has changed.
            raise Err(Failure_Refused(Error("InvalidInput", f"a `{KIND}` needs a `name`", None)))
        card = json.dumps({"text": f"Hello, {name}!"})
        try:
            ask("PUT", f"/cards/{what.id}", card)
        except NoAnswer as error:
            raise unsure(error) from error
        return card

    def remove(self, what):
        try:
            ask("DELETE", f"/cards/{what.id}")
        except NoAnswer as error:
            raise unsure(error) from error

    def list(self, kind, after):
        try:
            names = json.loads(ask("GET", "/cards") or "[]") if kind == KIND else []
        except NoAnswer as error:
            raise unknown(error) from error
        return sorted(name for name in names if after is None or name > after)[:1000]
