"""Takes a name and provides a greeting."""

import json
import tomllib
from pathlib import Path

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.plugin import Descriptor
from wit_world.exports.task import Disposition
from wit_world.imports import context, log
# with.import
from wit_world.imports.types import Error

# Read when the component is built, so that the version is in pyproject.toml only.
with open(Path(__file__).with_name("pyproject.toml"), "rb") as file:
    VERSION = tuple(map(int, tomllib.load(file)["project"]["version"].split(".")[:2]))

SETTINGS = {
    "type": "object",
    "properties": {"greeting": {"type": "string"}},
    "additionalProperties": False,
}


def error(kind, message, **details):
    """Returns the error that a task raises when it fails."""
    return Err(Error(kind, message, json.dumps(details) if details else None))


class Plugin(exports.Plugin):
    def settings_schema(self):
        return json.dumps(SETTINGS)

    def describe(self, settings):
        return Descriptor(
            name="my-plugin",
            version=VERSION,
            requires=["name"],
            optional=[],
            provides=["text"],
        )


class Task(exports.Task):
    def call(self, inputs):
        name = json.loads(inputs)["name"]
        if not isinstance(name, str) or not name:
            raise error("InvalidInput", "the request has no `name` to greet")
        # with.call
        text = f"{json.loads(context.settings()).get('greeting', 'Hello')}, {name}!"
        log.write(log.Level.INFO, text)
        return json.dumps({"text": text})

    def revert(self, outcome, cause):
        # The host undoes what the task changed through it.
        return Disposition.UNDO
