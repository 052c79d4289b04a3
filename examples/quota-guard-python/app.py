"""Rejects a volume that would take more than a given share of the project's remaining quota.

A request for `size` GiB is within a share of p percent if at least `size * 100 / p` GiB remain. So the guard reserves that amount: if it
exceeds the quota, the host refuses it and returns limits and usages. A successful reservation is released at once.
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

# Read at build time, so that the version is defined only in pyproject.toml.
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
    """Returns the exception that a failing task raises."""
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
        # There is nothing to undo: the call has released its reservations.
        return Disposition.UNDO


def guard(size, volume_type, percent):
    """Raises unless `size` GiB are at most `percent` of the remaining quota of every resource that the volume counts towards."""
    must_be_left = -(-size * 100 // percent)
    try:
        deltas = quota.with_volume_type([quota.Delta("gigabytes", must_be_left)], volume_type)
        quota.rollback(quota.reserve(deltas))
    except Err as refused:
        raise reason(refused.value, size, percent) from None
    log.write(log.Level.INFO, f"{size} GiB are at most {percent}% of what is left")


def reason(refused, size, percent):
    """Converts a `QuotaError`, which a task cannot raise, to an error that it can."""
    if isinstance(refused, quota.QuotaError_Other):
        return Err(refused.value)
    if isinstance(refused, quota.QuotaError_UnknownResource):
        return error("QuotaResourceUnknown", f"there is no quota for {', '.join(refused.value)}")
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
