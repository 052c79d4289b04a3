"""Refuses a volume that would take more than its share of what is left of the project's quota.

A request for `size` GiB is within a share of p percent of what is left if `size * 100 / p` GiB are left. So the guard asks the host to
reserve that much: what would go over is refused, and the host says how the quota stands. What was reserved is given back at once.
"""

import json
import tomllib
from pathlib import Path

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.plugin import Descriptor
from wit_world.exports.task import Disposition
from wit_world.imports import context, log, quota
from wit_world.imports.types import Error

# Read when the component is made: the version stands in pyproject.toml alone.
with open(Path(__file__).with_name("pyproject.toml"), "rb") as file:
    VERSION = tuple(map(int, tomllib.load(file)["project"]["version"].split(".")[:2]))

SETTINGS = {
    "type": "object",
    "properties": {
        "percent": {
            "description": "The most that one volume may take of what is left.",
            "type": "integer",
            "minimum": 1,
            "maximum": 100,
        },
        "free_below": {
            "description": "Volumes of fewer GiB are never refused.",
            "type": "integer",
            "minimum": 0,
        },
    },
    "required": ["percent"],
    "additionalProperties": False,
}


def error(kind, message, **details):
    """What a task raises when it cannot do its work."""
    return Err(Error(kind, message, json.dumps(details) if details else None))


class Plugin(exports.Plugin):
    def settings_schema(self):
        return json.dumps(SETTINGS)

    def describe(self, settings):
        return Descriptor(
            name="quota-guard",
            version=VERSION,
            requires=["size", "volume_type_id"],
            optional=[],
            provides=[],
        )


class Task(exports.Task):
    def call(self, inputs):
        settings = json.loads(context.settings())
        inputs = json.loads(inputs)
        size, volume_type = inputs["size"], inputs["volume_type_id"]
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise error("InvalidInput", f"`size` is {size!r}; ask for a whole number of GiB")
        if size >= settings.get("free_below", 0):
            guard(size, volume_type, settings["percent"])
        return "null"

    def revert(self, outcome, cause):
        # Nothing is left of the call: what it reserved it gave back.
        return Disposition.UNDO


def guard(size, volume_type, percent):
    """Raises unless `size` GiB are at most `percent` of what is left, of every resource that the volume counts in."""
    must_be_left = -(-size * 100 // percent)
    try:
        deltas = quota.with_volume_type([quota.Delta("gigabytes", must_be_left)], volume_type)
        quota.rollback(quota.reserve(deltas))
    except Err as refused:
        raise reason(refused.value, size, percent) from None
    log.write(log.Level.INFO, f"{size} GiB are at most {percent}% of what is left")


def reason(refused, size, percent):
    """What to say instead of a `QuotaError`, which is no error that a task may raise."""
    if isinstance(refused, quota.QuotaError_Other):
        return Err(refused.value)
    if isinstance(refused, quota.QuotaError_UnknownResource):
        return error("QuotaResourceUnknown", f"nobody knows the quota of {', '.join(refused.value)}")
    left = {
        usage.resource: usage.limit - usage.in_use - usage.reserved
        for usage in refused.value.usages
        if usage.resource in refused.value.overs
    }
    scarce, least = min(left.items(), key=lambda item: item[1])
    most = max(least * percent // 100, 0)
    return error(
        "QuotaShareExceeded",
        f"{size} GiB are more than {percent}% of the {least} GiB that are left of `{scarce}`; ask for at most {most} GiB",
        size=size,
        percent=percent,
        left=left,
        most=most,
    )
