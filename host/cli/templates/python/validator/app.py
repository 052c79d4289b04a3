"""Names every size in a request that is out of its bounds."""

import json

from wit_world import exports
from wit_world.exports.plugin import Descriptor
from wit_world.exports.validator import Violation
from wit_world.imports import context

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
        return Descriptor(name="my-plugin", version=(0, 1), requires=[], optional=[], provides=[])


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
