"""Large volumes are for those with a role."""

import json

from wit_world import exports
from wit_world.exports.plugin import Descriptor
from wit_world.exports.policy_check import Decision_Allow, Decision_Deny
from wit_world.imports import context

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
        return Descriptor(name="my-plugin", version=(0, 1), requires=[], optional=[], provides=[])


class PolicyCheck(exports.PolicyCheck):
    def check(self, action, target):
        settings = json.loads(context.settings())
        role = settings.get("role", "storage")
        size = json.loads(target).get("size") or 0
        if size <= settings["most"] or role in context.requester().roles:
            return Decision_Allow()
        return Decision_Deny(f"{size} GiB is more than {settings['most']}, and needs the role `{role}`")
