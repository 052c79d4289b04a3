"""Allows large volumes to callers with a role only."""

import json
import tomllib
from pathlib import Path

from wit_world import exports
from wit_world.exports.plugin import Descriptor
from wit_world.exports.policy_check import Decision_Allow, Decision_Deny
from wit_world.imports import context

# Read when the component is built, so that the version is in pyproject.toml only.
with open(Path(__file__).with_name("pyproject.toml"), "rb") as file:
    VERSION = tuple(map(int, tomllib.load(file)["project"]["version"].split(".")[:2]))

SETTINGS = {
    "type": "object",
    "properties": {"most": {"type": "integer"}, "role": {"type": "string"}},
    "required": ["most"],
    "additionalProperties": False,
}


class Plugin(exports.Plugin):
    def settings_schema(self):
        return json.dumps(SETTINGS)

    def describe(self, settings):
        return Descriptor(name="my-plugin", version=VERSION, requires=[], optional=[], provides=[])


class PolicyCheck(exports.PolicyCheck):
    def check(self, action, target):
        settings = json.loads(context.settings())
        role = settings.get("role", "storage")
        size = json.loads(target).get("size") or 0
        if size <= settings["most"] or role in context.requester().roles:
            return Decision_Allow()
        return Decision_Deny(f"{size} GiB is more than {settings['most']}, and needs the role `{role}`")
