"""Addresses of hosts in a zone of PowerDNS: the provider of `../pdns`, in Python.

PowerDNS cannot refuse a request that comes late: one that was under way when its host died, or whose connection broke. So no record is said to
be absent, after it may have been asked for, before the time is over that a request takes at most.
"""

import ipaddress
import json
import re
import time
import tomllib
from pathlib import Path

from componentize_py_types import Err
from wire import NoAnswer, send
from wit_world import exports
from wit_world.exports.external import Failure_Refused, Failure_Unsure, Presence_Absent, Presence_Whole
from wit_world.exports.plugin import Descriptor
from wit_world.imports import context, log
from wit_world.imports.cairn_plugin_types import Error

# Read at build time, so that the version is defined only in pyproject.toml.
with open(Path(__file__).with_name("pyproject.toml"), "rb") as file:
    VERSION = tuple(map(int, tomllib.load(file)["project"]["version"].split(".")[:2]))

SETTINGS = {
    "type": "object",
    "properties": {
        "url": {"type": "string", "description": "The server in the API, as in `http://127.0.0.1:8081/api/v1/servers/localhost`."},
        "zone": {"type": "string", "description": "The zone, with the full stop at its end."},
        "ttl": {"type": "integer", "minimum": 0, "default": 300, "description": "Seconds for which resolvers keep a record."},
        "settle": {"type": "integer", "minimum": 0, "default": 5, "description": "Seconds that no request takes at PowerDNS."},
    },
    "required": ["url", "zone"],
    "additionalProperties": False,
}

LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")

# Marks the comments with ids.
ACCOUNT = "cairn"


class Failed(Exception):
    """The server answered that something is wrong."""

    def __init__(self, status, body):
        try:
            text = json.loads(body)["error"]
        except (ValueError, KeyError, TypeError):
            text = ""
        super().__init__(f"PowerDNS answers {status}{': ' * bool(text)}{text}")
        self.status = status


class Zone:
    """A zone of a server, by the settings of the manifest."""

    def __init__(self):
        settings = json.loads(context.settings())
        self.url, self.zone = settings["url"], settings["zone"]
        self.ttl, self.settle = settings.get("ttl", 300), settings.get("settle", 5)

    def wait(self):
        """Waits until a request that was sent before has ended at PowerDNS."""
        time.sleep(self.settle)

    def find(self, id):
        """Finds the set of records of an object."""
        for comment in get(f"{self.url}/search-data?q={id}&max=100&object_type=comment"):
            if comment["zone"] == self.zone:
                for found in self.sets(comment["name"]):
                    if id_of(found) == id:
                        return found
        return None

    def sets(self, name=None):
        """Returns the sets of records of a name, or of all."""
        only = f"?rrset_name={name}" if name else ""
        sets = get(f"{self.url}/zones/{self.zone}{only}")["rrsets"]
        # Asked for one name, PowerDNS 4.7 also tells comments of other names, in sets without records.
        return [found for found in sets if found["records"]]

    def change(self, **changed):
        """Changes a set of records and its comment, in one transaction."""
        status, body = send("PATCH", f"{self.url}/zones/{self.zone}", {"rrsets": [changed]})
        if status != 204:
            raise Failed(status, body)


def get(url):
    status, body = send("GET", url)
    if status != 200:
        raise Failed(status, body)
    return json.loads(body)


def id_of(found):
    """Returns the id of the object of a set of records; `None` if an operator made the set."""
    return next((comment["content"] for comment in found["comments"] if comment["account"] == ACCOUNT), None)


def made(id, name, content):
    return json.dumps({"id": id, "fqdn": name, "address": content})


def refused(kind, message):
    return Err(Failure_Refused(Error(kind, message, None)))


def unknown(error):
    """Returns the exception of a question that has no answer."""
    return Err(Error("NoAnswer", str(error), None))


def failure(error):
    """Returns the exception of a change: it is refused if surely nothing has changed."""
    is_refused = error.is_unsent if isinstance(error, NoAnswer) else 400 <= error.status < 500
    kind = Failure_Refused if is_refused else Failure_Unsure
    return Err(kind(Error("PowerDns", str(error), None)))


class Plugin(exports.Plugin):
    def settings_schema(self):
        return json.dumps(SETTINGS)

    def describe(self, settings):
        return Descriptor(name="pdns-python", version=VERSION, requires=[], optional=[], provides=[])


class External(exports.External):
    def look(self, what):
        try:
            found = Zone().find(what.id)
        except (Failed, NoAnswer) as error:
            raise unknown(error) from error
        if found is None:
            return Presence_Absent()
        return Presence_Whole(made(what.id, found["name"], found["records"][0]["content"]))

    def make(self, what, spec):
        if what.kind != "record":
            raise refused("InvalidInput", f"objects of the kind `{what.kind}` are unknown; ask for a `record`")
        try:
            spec = json.loads(spec)
            name, address = spec["name"], ipaddress.ip_address(spec["address"])
        except (ValueError, KeyError, TypeError) as error:
            raise refused("InvalidInput", "the spec must have a `name` and an `address`") from error
        if not isinstance(name, str) or not LABEL.fullmatch(name):
            raise refused("InvalidInput", "`name` is no label: write 1 to 63 lower-case letters, digits and hyphens")
        zone = Zone()
        name = f"{name}.{zone.zone}"
        try:
            # PowerDNS would replace the records of another object.
            is_taken = any(id_of(found) != what.id for found in zone.sets(name))
        except (Failed, NoAnswer) as error:
            # Nothing was changed yet.
            raise refused("PowerDns", str(error)) from error
        if is_taken:
            raise refused("NameTaken", f"there is a record of the name {name}")
        try:
            zone.change(
                name=name,
                type="A" if address.version == 4 else "AAAA",
                ttl=zone.ttl,
                changetype="REPLACE",
                records=[{"content": str(address), "disabled": False}],
                comments=[{"content": what.id, "account": ACCOUNT}],
            )
        except (Failed, NoAnswer) as error:
            failed = failure(error)
            if isinstance(failed.value, Failure_Unsure):
                zone.wait()
            raise failed from error
        log.write(log.Level.INFO, f"made {name}")
        return made(what.id, name, str(address))

    def remove(self, what):
        zone = Zone()
        try:
            found = zone.find(what.id)
            if found is None:
                zone.wait()
                found = zone.find(what.id)
        except (Failed, NoAnswer) as error:
            # Nothing was changed, but it is not known whether there is a record.
            raise Err(Failure_Unsure(Error("NoAnswer", str(error), None))) from error
        if found is None:
            return
        try:
            zone.change(name=found["name"], type=found["type"], changetype="DELETE")
        except (Failed, NoAnswer) as error:
            raise failure(error) from error
        log.write(log.Level.INFO, f"removed {found['name']}")

    def list(self, kind, after):
        try:
            ids = {id_of(found) for found in Zone().sets()} - {None}
        except (Failed, NoAnswer) as error:
            raise unknown(error) from error
        return sorted(id for id in ids if after is None or id > after)[:1000]
