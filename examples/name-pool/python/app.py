"""Takes a name that nobody has: a number from a sequence, a record under the name that is made of it, and a count."""

import json
import tomllib
from pathlib import Path

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.plugin import Descriptor
from wit_world.exports.task import Disposition
from wit_world.imports import context, log, records
from wit_world.imports.types import Error

# Read when the component is made: the version stands in pyproject.toml alone.
with open(Path(__file__).with_name("pyproject.toml"), "rb") as file:
    VERSION = tuple(map(int, tomllib.load(file)["project"]["version"].split(".")[:2]))

SETTINGS = {"type": "object", "properties": {}, "additionalProperties": False}

# The operator's collection, and its sequence and counter.
NAMES, NUMBERS, TAKEN = "names", "numbers", "taken"


def error(kind, message, **details):
    """What a task raises when it cannot do its work."""
    return Err(Error(kind, message, json.dumps(details) if details else None))


class Plugin(exports.Plugin):
    def settings_schema(self):
        return json.dumps(SETTINGS)

    def describe(self, settings):
        return Descriptor(
            name="take-name-python",
            version=VERSION,
            requires=["prefix"],
            optional=[],
            provides=["other_name"],
        )


class Task(exports.Task):
    def call(self, inputs):
        prefix = json.loads(inputs)["prefix"]
        if not isinstance(prefix, str) or not prefix:
            raise error("InvalidInput", "the request has no `prefix`; say what the names begin with")
        # Never given back: when this flow fails, the number is left out.
        number = records.next(NAMES, NUMBERS)
        name = f"{prefix}-{number}"
        value = json.dumps({"number": number, "user": context.requester().user_id})
        records.put(NAMES, name, value, records.Expect_Absent())
        records.add(NAMES, TAKEN, 1)
        log.write(log.Level.INFO, f"took the name {name}")
        return json.dumps({"other_name": name})

    def revert(self, outcome, cause):
        # The host takes the record and the count back.
        return Disposition.UNDO
