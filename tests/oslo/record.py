"""Records decisions of oslo.policy as vectors for the test `oslo_policy`. README.md says how to run it.

Everything is generated from one seed, so that the same versions write the same file.
"""

import importlib.metadata
import json
import keyword
import logging
import pathlib
import platform
import random
import re

import yaml
from oslo_config import cfg
from oslo_policy import _checks, policy
from oslo_policy.shell import flatten

SEED = 20132
OUT = pathlib.Path(__file__).with_name("vectors.json")

# The callers, as `Credentials` of the engine.
CALLERS = [
    {"user_id": "ann", "project_id": "blue", "roles": ["member"], "is_admin": False},
    {"user_id": "bob", "project_id": "red", "roles": ["Member", "ops"], "is_admin": False, "quota_class": "gold"},
    {"user_id": "root", "project_id": "blue", "roles": ["ADMIN"], "is_admin": True},
    {"user_id": "", "project_id": "", "roles": [], "is_admin": False},
    {"user_id": "5", "project_id": "None", "roles": ["True", "5", "['a']"], "is_admin": True, "quota_class": ""},
    {"user_id": "Ünï", "project_id": "straße", "roles": ["ÜNÏ", "STRASSE", "a b"], "is_admin": False},
]

# The targets. Nested objects have paths.
TARGETS = [
    {},
    {"user_id": "ann", "project_id": "blue", "role": "member", "name": "x"},
    {"user_id": "bob", "project_id": "red", "role": "OPS", "name": "", "size": 5, "flag": True},
    {"project_id": None, "user_id": 5, "size": -1, "flag": False, "role": "admin", "name": "None"},
    {"volume": {"project_id": "blue", "user_id": "ann", "size": 5, "flag": True}, "size": 0},
    {"volume": {"owner": {"id": "bob"}, "empty": {}, "tags": ["a", 1, None]}, "name": "it's"},
    {"volume.project_id": "red", "volume": {"project_id": "blue", "owner.id": "ann"}, "role": "Ünï"},
    {"size": 1.0, "name": ["a"], "role": ["a"], "flag": None, "user_id": True, "project_id": []},
    {"size": 1e16, "name": {"a": 1, "b": [True, "x"]}, "flag": "True", "volume": "blue", "role": ""},
    {"size": 1e-05, "name": ["it's", 'say "x"', "a\n\u00e9\u2028\x01\\"], "flag": 1, "role": 5},
    {"size": 0.1, "name": "100%", "user_id": "%(name)s", "project_id": "straße", "role": "strasse"},
    {"size": 123456789012345678, "name": "a b", "flag": "true", "role": "a b", "user_id": "Ünï"},
    {"size": 1.5e300, "name": [], "flag": [[]], "role": None, "user_id": "", "project_id": ""},
    {"size": 1000, "name": "[1, 2]", "project_id": "blue ", "user_id": "ANN", "role": "member,ops"},
]

# Rules that the tested rule may refer to.
OTHERS = {
    "yes": "@",
    "no": "!",
    "open": "",
    "owner": "user_id:%(user_id)s or project_id:%(project_id)s",
    "admin": [["is_admin:True"], ["role:admin"]],
    "both": "rule:owner and not rule:admin",
    "a:b c": "role:member",
}

ROLES = ["member", "Admin", "OPS", "nobody", "", "%(role)s", "%(missing)s", "ünï", "STRASSE", "true", "5", "x%(role)s"]
RULES = ["yes", "no", "open", "owner", "admin", "both", "nowhere", "Yes", "", "a:b", "%(name)s"]
ATTRIBUTES = [
    "user_id", "project_id", "is_admin", "quota_class", "roles", "user", "tenant", "domain_id", "user_ID",
    "system_scope", "token.roles.name", "target.volume", "_x", "inf", "volume",
]
LITERALS = [
    "'x'", '"x"', "''", "'None'", "True", "False", "None", "5", "-1", "+5", "1_000", "0", "-0", "00", "1.0", "1.", ".5",
    "0.1", "1e16", "1e-05", "1E+16", "1e3", "1.5e300", "1e999", "-1e5", "0.00001", "-0.0", "10000000000000000.0",
    "98765432109876543210", "'it'", "'100%'", "'[1,'", "'5'", "'[]'", "'True'", "'é'", "'1.0'", "007.5", "1_0.5",
]
# Expressions that Python accepts and the engine refuses, and some that Python refuses too.
ODD = [
    "0x10", "007", "1j", "...", "[]", "[1,2]", "{}", "b'x'", "u'x'", "r'x'", "'a''b'", "'a'\"b\"", "'\\x41'", "'''x'''", "--5",
    "os-admin", "3abc", "a..b", ".a", "a.", "class", "lambda", "a.if", "é", "a[0]", "f(x)", "a|b", "'x", "x'", "a\x00b", "{1}",
    "user_id.x", "roles.name", "is_admin.real", "project_id.id.x", "True.x", "_1", "1_", "-inf", "nan", "$", "+", "*", "{'a'",
    "http", "https", "wasm", "", "None.x", "tenant.x", "1e", "1__0", "is", "not_", "-", "quota_class.x",
]
MATCHES = [
    "%(user_id)s", "%(project_id)s", "%(name)s", "%(size)s", "%(flag)s", "%(role)s", "%(missing)s", "%(volume.project_id)s",
    "%(volume.owner.id)s", "%(volume.owner)s", "%(volume)s", "%(volume.size)s", "%(volume.tags)s", "%(volume.empty)s",
    "%(volume.nothing)s", "%(user_id.x)s", "x", "5", "True", "False", "None", "", "ann", "blue", "member", "gold", "a:b", "[]",
    "['a']", "100%%", "%%", "%(name)s%(size)s", "x%(name)s", "%(name)s%%", "it", "1.0", "é", "a(b)c", "'x'", "\"x\"", "1000.0",
]
# Formats other than `%(name)s` that Python's `%` accepts, and some that it does not.
PERCENT = [
    "%(size)d", "%(name)r", "%(name)5s", "%(name).1s", "%s", "%", "50%", "%(name", "%()s", "%(a(b)c)s", "%(name)", "%x", "%(name)%",
    "%-5s", "%(volume.size)i", "%%%", "%(size)f",
]
BLANKS = [" "] * 12 + ["  ", "\t", "\n", "\u00a0", "\u2003", "\x1c", "\x85", " \r\n"]


class Draw(random.Random):
    """Generates random rules."""

    def check(self):
        roll = self.random()
        if roll < 0.10:
            return self.choice(["@", "!"])
        if roll < 0.28:
            return "role:" + self.choice(ROLES)
        if roll < 0.42:
            return "rule:" + self.choice(RULES)
        if roll < 0.72:
            return self.choice(ATTRIBUTES) + ":" + self.choice(MATCHES)
        if roll < 0.985:
            return self.choice(LITERALS) + ":" + self.choice(MATCHES)
        if roll < 0.9925:
            return self.choice(ODD) + ":" + self.choice(MATCHES)
        return self.choice(ATTRIBUTES + LITERALS) + ":" + self.choice(PERCENT)

    def word(self, word):
        return self.choice([word] * 6 + [word.upper(), word.title()])

    def tree(self, depth):
        """Returns the tokens of an expression."""
        roll = self.random()
        if depth == 0 or roll < 0.25:
            return [self.check()]
        if roll < 0.40:
            return [self.word("not"), *self.tree(depth - 1)]
        if roll < 0.55:
            return ["(", *self.tree(depth - 1), ")"]
        word = self.choice(["and", "or"])
        parts = [self.tree(depth - 1) for _ in range(self.choice([2, 2, 2, 3, 4]))]
        tokens = parts[0]
        for part in parts[1:]:
            tokens = [*tokens, self.word(word), *part]
        return tokens

    def spaced(self, tokens):
        """Joins tokens to a text. Parentheses need no blanks."""
        text = ""
        last = "("
        for token in tokens:
            tight = (last == "(" or token == ")") and self.random() < 0.7
            text += token if tight else self.choice(BLANKS) + token
            last = token
        return text.strip(" ") if self.random() < 0.8 else text

    def expression(self, depth=3):
        return self.spaced(self.tree(self.randint(0, depth)))

    def soup(self):
        """Returns tokens in random order."""
        pieces = ["(", ")", "and", "or", "not", "((", "role", "'x'", '"', ":", "()"]
        return self.spaced(
            [self.check() if self.random() < 0.5 else self.choice(pieces) for _ in range(self.randint(1, 8))]
        )

    def damaged(self):
        """Returns an expression with one character added or removed."""
        text = self.expression(2)
        at = self.randint(0, len(text))
        if self.random() < 0.5:
            return text[:at] + text[at + 1 :]
        return text[:at] + self.choice("()'\"%:@! .ab") + text[at:]

    def lists(self, odd):
        """Returns a rule in the older syntax of lists."""
        rule = []
        for _ in range(self.randint(0, 3)):
            roll = self.random()
            if roll < 0.15:
                rule.append(self.choice(["", []]))
            elif roll < 0.4:
                rule.append(self.check())
            else:
                rule.append([self.check() for _ in range(self.randint(0, 3))])
        if odd:
            rule.append(self.choice([None, 0, 5, True, {}, [None], [5], [["@"]], ["role"], "role", " role:x", ["@", ""], {"@": 1}]))
        return rule


class Heard(logging.Handler):
    """Counts the messages that the parser logs."""

    def __init__(self):
        super().__init__()
        self.records = 0

    def emit(self, record):
        self.records += 1


HEARD = Heard()
for name in ("oslo_policy._parser", "oslo_policy.policy", "oslo_policy._checks"):
    logger = logging.getLogger(name)
    logger.addHandler(HEARD)
    logger.propagate = False


def leaves(check):
    if isinstance(check, _checks.AndCheck | _checks.OrCheck):
        return [leaf for part in check.rules for leaf in leaves(part)]
    if isinstance(check, _checks.NotCheck):
        return leaves(check.rule)
    return [check] if isinstance(check, _checks.Check) else []


def is_name(text):
    return all(part.isascii() and part.isidentifier() and not keyword.iskeyword(part) for part in text.split("."))


def is_literal(text):
    if text in ("True", "False", "None"):
        return True
    if re.fullmatch(r"'[^'\\\x00-\x1f]*'|\"[^\"\\\x00-\x1f]*\"", text):
        return True
    return bool(
        re.fullmatch(
            r"[+-]?(0(_?0)*|[1-9](_?\d)*|"
            r"(\d(_?\d)*\.(\d(_?\d)*)?|\.\d(_?\d)*)([eE][+-]?\d(_?\d)*)?|\d(_?\d)*[eE][+-]?\d(_?\d)*)",
            text,
            re.ASCII,
        )
    )


def refusal(source, rules):
    """Returns why the engine refuses rules that oslo.policy loads, as a key of the test; None if it accepts them."""
    for rule in source.values():
        items = rule if isinstance(rule, list) else []
        within = [item for inner in items if isinstance(inner, list) for item in inner]
        if not isinstance(rule, str | list) or any(not isinstance(item, str | list) for item in items):
            return "no rule"
        if any(not isinstance(item, str) for item in within):
            return "no rule"
    for leaf in (leaf for rule in rules.values() for leaf in leaves(rule)):
        kind, match = leaf.kind, leaf.match
        if kind in ("http", "https"):
            return "kind"
        if kind == "rule":
            continue
        if kind != "role" and not is_literal(kind):
            if not is_name(kind):
                return "left side"
            first, *rest = kind.split(".")
            if rest and first in ("user_id", "user", "project_id", "tenant", "is_admin", "quota_class", "roles"):
                return "path"
        if "%" in re.sub(r"%%|%\([^()%]+\)s", "", match):
            return "percent"
    return "circle" if is_circular(rules) else None


def refused_text(text):
    """Returns the feature of YAML because of which the engine refuses the text; None if there is none."""
    if any(getattr(event, "tag", None) for event in yaml.parse(text, yaml.SafeLoader)):
        return "tag"
    root = yaml.compose(text, yaml.SafeLoader)
    names = [key.value for key, _ in root.value] if isinstance(root, yaml.MappingNode) else []
    if "<<" in names:
        return "merge"
    return "twice" if len(names) != len(set(names)) else None


def is_circular(rules):
    """Returns whether a rule refers to itself, directly or not; a reference to a missing rule is one to `default`."""
    state = {}

    def visit(name):
        if state.get(name) == "open":
            return True
        if name in state:
            return False
        state[name] = "open"
        references = [leaf.match for leaf in leaves(rules[name]) if leaf.kind == "rule"]
        references = [match if match in rules else "default" for match in references]
        found = any(visit(match) for match in references if match in rules)
        state[name] = "done"
        return found

    return any(visit(name) for name in list(rules))


def credentials(caller):
    """Returns the caller in the form of oslo.policy: with the older names, and with every attribute."""
    older = {"user": caller["user_id"], "tenant": caller["project_id"], "quota_class": None}
    return {**older, **caller}


def seen(target):
    """Adds the paths through the target's objects as keys, as oslopolicy-checker does; its own keys take precedence."""
    return {**flatten(target), **target}


def load(rules, text):
    if text is None:
        return rules, policy.Rules.from_dict(rules, "default")
    return policy.parse_file_contents(text), policy.Rules.load(text, "default")


class Recorder:
    def __init__(self):
        self.cases = []
        self.known = set()

    def record(self, group, asks, ask="act", rules=None, text=None):
        key = json.dumps([ask, rules, text], sort_keys=True)
        if "wasm:" in key:
            # A kind of check that only the engine has. It is generated nevertheless, so that the other random values stay the same.
            return
        if key in self.known:
            return
        self.known.add(key)
        case = {"group": group}
        if ask != "act":
            case["ask"] = ask
        if text is None:
            case["rules"] = rules
        else:
            case["yaml"] = text
        HEARD.records = 0
        try:
            source, loaded = load(rules, text)
        except Exception as error:
            case["load"] = type(error).__name__
            source = None
        if source is None and text is not None and "\t" in text:
            # PyYAML accepts fewer tabs than YAML 1.2. A parser that accepts them must treat them as spaces.
            text = text.replace("\t", " ")
            try:
                source, loaded = load(None, text)
                case["load"] = "tab"
            except Exception:
                pass
        if source is None:
            self.cases.append(case)
            return
        if HEARD.records:
            # oslo.policy continues with a check that always fails.
            case["load"] = "unread"
            self.cases.append(case)
            return
        refused = refusal(source, loaded)
        if refused:
            case["refused"] = refused
        if text is not None and refused is None:
            refused = refused_text(text)
            if refused:
                case["refused"] = refused
        if refused != "kind":
            enforcer = policy.Enforcer(cfg.ConfigOpts(), use_conf=False, default_rule="default")
            enforcer.set_rules(loaded, use_conf=False)
            case["asks"] = [[caller, target, self.enforce(enforcer, ask, caller, target)] for caller, target in asks]
        self.cases.append(case)

    @staticmethod
    def enforce(enforcer, ask, caller, target):
        try:
            return int(bool(enforcer.enforce(ask, seen(TARGETS[target]), credentials(CALLERS[caller]))))
        except Exception as error:
            return type(error).__name__


def referred(rule):
    """Returns the rules that a rule may refer to."""
    text = json.dumps(rule)
    if "rule:" not in text:
        return {}
    return OTHERS


def main():
    draw = Draw(SEED)
    recorder = Recorder()
    everything = [(caller, target) for caller in range(len(CALLERS)) for target in range(len(TARGETS))]

    def some(count):
        return sorted(draw.sample(everything, count))

    def rules(rule, default=None):
        return {"act": rule, **referred(rule), **({} if default is None else {"default": default})}

    # Every kind of check, alone and under `not`.
    for check in ["@", "!", "", " ", "(@)", "((!))", "not @", "not !", "not not @", "()", "(", ")", "not", "and", "or", "@ !", "role"]:
        recorder.record("fixed", some(1), rules=rules(check))
    for role in ROLES:
        recorder.record("role", everything[:: draw.choice([3, 5])], rules=rules("role:" + role))
    for name in RULES:
        for default in (None, "@", "!", "rule:owner"):
            recorder.record("rule", some(4), rules={"act": "rule:" + name, **OTHERS, **({"default": default} if default else {})})
            recorder.record("rule", some(4), rules={"act": "not rule:" + name, **OTHERS, **({"default": default} if default else {})})
    for attribute in ATTRIBUTES:
        for match in MATCHES:
            recorder.record("attribute", some(4), rules=rules(f"{attribute}:{match}"))
    for literal in LITERALS:
        for match in draw.sample(MATCHES[:24], 9):
            recorder.record("literal", some(5), rules=rules(f"{literal}:{match}"))
        recorder.record("literal", [(0, target) for target in range(len(TARGETS))], rules=rules(f"{literal}:%(size)s"))
        recorder.record("literal", [(0, target) for target in range(len(TARGETS))], rules=rules(f"{literal}:%(name)s"))
    for value in ["['a']", "{'a':", "[]", "None", "True", "100%", "['it"]:
        recorder.record("value", [(4, target) for target in range(len(TARGETS))], rules=rules([f"'{value}':%(name)s"]))
    for text in ['"[\'a\']":%(name)s', '"[\'a\']":%(role)s', "'[[]]':%(flag)s", '"[\'a\', 1, None]":%(volume.tags)s',
                 '"{\'a\': 1, \'b\': [True, \'x\']}":%(name)s', "roles:%(name)s", "roles:['a']"]:
        recorder.record("value", [(4, target) for target in range(len(TARGETS))], rules=rules([[text]]))
    for odd in ODD:
        for match in ("x", "%(name)s"):
            recorder.record("odd", some(2), rules=rules(f"{odd}:{match}"))
            recorder.record("odd", some(2), rules=rules([f"{odd}:{match}"]))
    for percent in PERCENT:
        for kind in ("user_id", "'x'", "role", "rule"):
            recorder.record("percent", some(3), rules=rules(f"{kind}:{percent}"))

    # Every combination of three checks.
    first, second, third = "role:member", "rule:owner", "is_admin:True"
    for one in ("", "not "):
        for two in ("", "not "):
            for left in ("and", "or"):
                for right in ("and", "or"):
                    for shape in ("{a} {l} {b} {r} {c}", "({a} {l} {b}) {r} {c}", "{a} {l} ({b} {r} {c})", "not ({a} {l} {b}) {r} {c}"):
                        text = shape.format(a=one + first, b=two + second, c=third, l=left, r=right)
                        recorder.record("shape", some(6), rules=rules(text))

    # Random expressions.
    for _ in range(1000):
        rule = draw.expression()
        default = draw.choice([None, None, "@", "!", draw.expression(1)])
        recorder.record("expression", some(6), rules=rules(rule, default))
    for _ in range(350):
        recorder.record("soup", some(2), rules=rules(draw.soup()))
    for _ in range(350):
        recorder.record("damaged", some(2), rules=rules(draw.damaged()))
    for index in range(450):
        recorder.record("lists", some(4), rules=rules(draw.lists(index % 6 == 0)))

    # Rules that refer to others, some of them in cycles.
    names = ["act", "a", "b", "c", "d", "default"]
    for _ in range(300):
        chosen = ["act", *sorted(draw.sample(names[1:], draw.randint(1, 5)))]
        chain = {}
        for index, name in enumerate(chosen):
            # Mostly to a later rule, so that most chains end.
            to = draw.choice(chosen[index + 1 :] + ["nowhere"]) if draw.random() < 0.9 else draw.choice(names)
            chain[name] = draw.choice(["rule:{}", "not rule:{}", "role:member or rule:{}", "rule:{} and is_admin:False", draw.check()]).format(to)
        recorder.record("chain", some(3), rules=chain)
        recorder.record("chain", some(2), rules=chain, ask=draw.choice(names + ["nowhere"]))

    # An action without a rule.
    for default in [None, "@", "!", "", "rule:nowhere", "rule:yes", "not rule:nowhere", [["role:member"]]]:
        source = {"yes": "@", **({} if default is None else {"default": default})}
        for ask in ("nowhere", "default", "yes"):
            recorder.record("default", some(3), rules=source, ask=ask)
    recorder.record("default", some(1), rules={}, ask="nowhere")

    # Values that are not rules.
    for value in [None, False, True, 0, 1, 1.5, {}, {"@": 1}, [None], [[None]], [[5]], [0], [{}], [[[]]], [[["@"]]], [True]]:
        recorder.record("no rule", some(1), rules={"act": value})

    # Complete files in YAML.
    for text in TEXTS:
        recorder.record("yaml", some(3), text=text)
    for index in range(150):
        rule = draw.lists(False) if index % 3 == 0 else draw.expression(2)
        text = yaml.safe_dump(
            rules(rule, draw.choice([None, "@"])),
            default_flow_style=draw.choice([True, False, None]),
            default_style=draw.choice([None, "'", '"', ">", "|"]),
            allow_unicode=draw.choice([True, False]),
            width=draw.choice([20, 80, 1000]),
        )
        recorder.record("yaml", some(3), text=text)
    write(recorder.cases)


TEXTS = [
    "",
    "# nothing\n",
    "---\n...\n",
    "{}",
    "act: role:member",
    "act: 'role:member'  # a comment\n",
    'act: "@"',
    "act: '!'",
    "act: @",
    "act: role:member or\n  role:ops\n",
    "act: >\n  role:member\n  or role:ops\n",
    "act: |\n  role:member\n  or role:ops\n",
    "act: [[role:member, is_admin:False], [role:ops]]",
    "act:\n- - role:member\n  - is_admin:False\n- role:ops\n",
    "act: []",
    "act: [[]]",
    "act: ''",
    "act: &x role:member\nb: *x\n",
    "b: &x [role:member]\nact: [*x, role:ops]\n",
    '{"act": "role:member", "b": "!"}',
    '{"act": "\\u0072ole:member"}',
    "act: role: member",
    "act: 'role:member",
    "- act",
    "act: 'true:x'",
    "act: is_admin:True",
    "act: 'role:it''s'",
    "%YAML 1.1\n---\nact: role:member\n",
    "act: !!python/name:os.system ''",
    "\tact: role:member",
    "\t{act: role:member}",
    "act: role:member\n\tb: role:x\n",
    "act: 'role:member'\n\tb: '!'\n",
    "act: 'role:member'\n\t\n",
    "act:\n\t- role:member\n",
    "act:\n- \trole:member\n",
    "act:\n\trole:member\n",
    "act:\trole:member\n",
    '{\n\t"act": "role:member"\n}',
    "act: role:member\n  or\n\trole:ops\n",
    "# a comment\n\t# and another\nact: role:member\n",
    "act: role:member\n act: role:ops\n",
    "act: role:member\n---\nact: role:ops\n",
    "act: 1:30",
    "act:",
    "act: !",
    "act: ~",
    "act: yes",
    "act: 2001-01-01",
    "act: .5",
    "<<: {act: role:member}",
    "act: role:member\nact: '@'\n",
    "act: !!str role:member",
    "act: [[[role:member]]]",
    "? act\n: role:member\n",
    "\"act\": 'role:member', 'b': x",
    "act: {role: member}",
    "act: %(x)s:x",
    "act: \"'x':%(name)s\"",
    "act: '''x'':%(name)s'",
    "act: 'user_id:%(user_id)s'",
    "act: user_id:%(user_id)s",
    "act: rule:b # c\nb: |-\n  role:member\n",
    "act: role:member#x\n",
    "act: rule:b\nb: rule:act\n",
    "default: role:member\n",
    "default: rule:nowhere\n",
    "\ufeffact: role:member\n",
    "act: role:member\r\nb: '!'\r\n",
]


def write(cases):
    source = {
        "oslo.policy": importlib.metadata.version("oslo.policy"),
        "PyYAML": importlib.metadata.version("PyYAML"),
        "python": ".".join(platform.python_version_tuple()[:2]),
        "seed": SEED,
    }
    compact = {"ensure_ascii": True, "separators": (",", ":")}
    with OUT.open("w", encoding="ascii") as out:
        out.write('{"source":' + json.dumps(source, **compact))
        for name, values in (("callers", CALLERS), ("targets", TARGETS), ("cases", cases)):
            lines = ",\n".join(json.dumps(value, **compact) for value in values)
            out.write(f',\n"{name}":[\n{lines}\n]')
        out.write("}\n")


if __name__ == "__main__":
    main()
