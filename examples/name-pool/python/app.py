"""Takes an unused name: a number from a sequence, a record under the name made from it, and a count."""

import json
import tomllib
from pathlib import Path

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.plugin import Descriptor
from wit_world.exports.task import Disposition
from wit_world.imports import context, log, records
from wit_world.imports.types import Error

# Read at build time, so that the version is defined only in pyproject.toml.
with open(Path(__file__).with_name("pyproject.toml"), "rb") as file:
    VERSION = tuple(map(int, tomllib.load(file)["project"]["version"].split(".")[:2]))

SETTINGS = {"type": "object", "properties": {}, "additionalProperties": False}

# The operator's collection, and its sequence and counter.
NAMES, NUMBERS, TAKEN = "names", "numbers", "taken"


def error(kind, message, **details):
    """Returns the exception that a failing task raises."""
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
        # Not returned to the sequence: when this flow fails, the number is skipped.
        number = records.next(NAMES, NUMBERS)
        name = f"{prefix}-{number}"
        value = json.dumps({"number": number, "user": context.requester().user_id})
        records.put(NAMES, name, value, records.Expect_Absent())
        records.add(NAMES, TAKEN, 1)
        log.write(log.Level.INFO, f"took the name {name}")
        return json.dumps({"other_name": name})

    def revert(self, outcome, cause):
        # The host undoes the record and the count.
        return Disposition.UNDO
