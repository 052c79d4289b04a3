"""Reports a size in a request that is out of bounds."""

import json
import tomllib
from pathlib import Path

from wit_world import exports
from wit_world.exports.plugin import Descriptor
from wit_world.exports.validator import Violation
from wit_world.imports import context

# Read when the component is built, so that the version is in pyproject.toml only.
with open(Path(__file__).with_name("pyproject.toml"), "rb") as file:
    VERSION = tuple(map(int, tomllib.load(file)["project"]["version"].split(".")[:2]))

SETTINGS = {
    "type": "object",
    "properties": {"most": {"type": "integer"}},
    "required": ["most"],
    "additionalProperties": False,
}


class Plugin(exports.Plugin):
    def settings_schema(self):
        return json.dumps(SETTINGS)

    def describe(self, settings):
        return Descriptor(name="my-plugin", version=VERSION, requires=[], optional=[], provides=[])


class Validator(exports.Validator):
    def validate(self, inputs):
        most = json.loads(context.settings())["most"]
        size = json.loads(inputs).get("size")
        if not isinstance(size, int):
            return [Violation("/size", "InvalidInput", "must be a whole number of GiB")]
        violations = []
        if size < 1:
            violations.append(Violation("/size", "InvalidInput", "must be at least 1 GiB"))
        if size > most:
            violations.append(Violation("/size", "InvalidInput", f"must be at most {most} GiB"))
        return violations
