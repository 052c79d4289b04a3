"""Gives a host a name: a number from a sequence, a record under the name made from it, and an entry in DNS."""

import json
import tomllib
from pathlib import Path

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.plugin import Descriptor
from wit_world.exports.task import Disposition
from wit_world.imports import externals, log, records
from wit_world.imports.types import Error

# Read at build time, so that the version is defined only in pyproject.toml.
with open(Path(__file__).with_name("pyproject.toml"), "rb") as file:
    VERSION = tuple(map(int, tomllib.load(file)["project"]["version"].split(".")[:2]))

SETTINGS = {"type": "object", "properties": {}, "additionalProperties": False}

# The operator's collection and its sequence, and the flow's provider.
HOSTS, NUMBERS, PROVIDER = "hosts", "numbers", "pdns"


class Plugin(exports.Plugin):
    def settings_schema(self):
        return json.dumps(SETTINGS)

    def describe(self, settings):
        return Descriptor(
            name="name-host-python",
            version=VERSION,
            requires=["prefix", "address"],
            optional=[],
            provides=["other_fqdn"],
        )


class Task(exports.Task):
    def call(self, inputs):
        inputs = json.loads(inputs)
        prefix, address = inputs["prefix"], inputs["address"]
        if not all(isinstance(text, str) and text for text in (prefix, address)):
            message = "`prefix` and `address` must be texts; say what the name begins with, and where the host is"
            raise Err(Error("InvalidInput", message, None))
        # Not returned to the sequence: when this flow fails, the number is skipped.
        number = records.next(HOSTS, NUMBERS)
        name = f"{prefix}-{number}"
        host = {"number": number, "address": address}
        records.put(HOSTS, name, json.dumps(host), records.Expect_Absent())
        made = json.loads(externals.make(PROVIDER, "record", "main", json.dumps({"name": name, "address": address})))
        # For the flow that removes the host.
        records.put(HOSTS, name, json.dumps({**host, "entry": made["id"]}), records.Expect_Any())
        log.write(log.Level.INFO, f"named the host {made['fqdn']}")
        return json.dumps({"other_fqdn": made["fqdn"]})

    def revert(self, outcome, cause):
        # The host undoes the record, and has the provider remove the entry.
        return Disposition.UNDO
