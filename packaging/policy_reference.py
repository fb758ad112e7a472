"""The page for administrators, docs/policy.md: how policy is set, and a table of all keys."""

from localai_app.governance.policy_schema import BLOCKED, KEYS, Kind, Merge, PolicyKey, PolicyValue

_PAGE = """\
<!-- Made by packaging/make_policy_templates.py from localai_app/governance/policy_schema.py: edit those. -->

# Policy

What an organisation sets on its computers. It is read at the start and again whenever it changes: every
act that policy may forbid looks, once a second at most. What is refused is refused in the window and on the
command line alike (exit code 3), and written in the audit log.

## Where it is set

| system | mandatory | recommended |
|---|---|---|
| Linux | `/etc/localai-app/policies/managed/*.json` | `/etc/localai-app/policies/recommended/*.json` |
| Windows | `HKLM\\SOFTWARE\\Policies\\LocalAIApp` | `HKLM\\SOFTWARE\\Policies\\LocalAIApp\\Recommended` |
| macOS | `/Library/Managed Preferences/app.localai.plist`, then the one in the user's folder there | its dictionary `Recommended` |

No environment variable and no argument moves these places. Templates are in `packaging/policy/`: ADMX and
ADML for Group Policy and Intune, a sample `.mobileconfig` with a manifest for tools that make profiles, a
sample JSON with its comments beside it, and a JSON Schema. The readers for Windows and macOS are tested on
stand-ins only: no such machine has run them yet.

**Linux.** The files, `managed`, `recommended`, `policies` and `/etc/localai-app` must belong to root and be
writable by nobody else, and everybody must be able to read them (files 0644, folders 0755). Links are not
followed. Where several files set a key, the one whose name comes last goes first. Files that do not end in
`.json`, or begin with a dot, are not read. One file holds one JSON object in UTF-8, at most 4 MiB.

**Windows.** Switches are REG_DWORD 0 or 1, numbers REG_DWORD, texts REG_SZ, lists REG_MULTI_SZ, or a subkey
with one value per item. The same key of HKCU may only make things stricter; it cannot set keys where no
value is stricter than another (“that of the first source” below).

## What counts

Mandatory goes before the user's own setting, that before what is recommended, and that before the default.
Where several mandatory sources set one key, the column “of several” says what counts; the computer's goes
before the user's.

**A value that makes no sense** (a wrong type, out of range, set twice) never spoils the other keys. The key
falls to its *safe value*: the strictest one that loses no data. **A mandatory file that cannot be read or
believed** may have held any key, so every key falls to its safe value, unless it is one where the first
source counts and another file sets it. Both are shown by `policy show` and `doctor`, and written in the audit
log. A key that does not exist changes nothing and is reported, with the name that it is like. A recommended
value that makes no sense changes nothing.

## Rolling out

```
localai-app policy check 10-organisation.json   # one line per problem, exit code 1 if there is any
localai-app policy show                         # every key: value, source, locked or free
localai-app policy show --json                  # the same for programs
```

Check first: a mandatory file with a comma too many locks every key. Replace files by renaming a finished one
over the old one.

What policy does not do: it does not resist whoever is administrator of the computer, or a user who runs a
changed copy of the app.

## Keys

Leave out what you do not set: `null` is no value. “not yet” means that this version shows the key and checks
its value, but does not act on it.

"""  # noqa: E501  a table


def reference() -> str:
    """The page."""
    rows: list[str] = []
    for group in dict.fromkeys(key.group for key in KEYS):
        rows += [
            f"### {group}",
            "",
            "| key | value | default | safe value | of several | recommended | enforced | meaning |",
            "|---|---|---|---|---|---|---|---|",
            *(_row(key) for key in KEYS if key.group == group),
            "",
        ]
    return _PAGE + "\n".join(rows).rstrip() + "\n"


def _row(key: PolicyKey) -> str:
    cells = (
        f"`{key.name}`",
        _values(key),
        _words(key, key.default),
        _words(key, key.safe),
        key.merge.value,
        "yes" if key.recommended else "no",
        "yes" if key.enforced else "not yet",
        key.means,
    )
    return f"| {' | '.join(cells)} |"


def _values(key: PolicyKey) -> str:
    if key.kind is Kind.BOOL:
        return "`true`, `false`"
    if key.kind is Kind.CHOICE:
        return ", ".join(f"`{choice}`" for choice in key.choices)
    if key.kind is Kind.WHOLE:
        zero = f"; 0: {key.zero_means}" if key.zero_means else ""
        return f"{key.lowest} to {key.highest}{zero}"
    known = f": {', '.join(f'`{item}`' for item in key.known)}" if key.known else ""
    return f"list of: {key.form.value}{known}" if key.kind is Kind.LIST else key.form.value


def _words(key: PolicyKey, value: PolicyValue) -> str:
    if value is None:
        return " but ".join(["everything allowed", *(f"`{item}`" for item in key.off)])
    if value == ():
        return "nothing allowed"
    if value == BLOCKED:
        return "nothing: refused"
    if value == "":
        return "none" if key.merge is Merge.FIRST else "empty"
    return f"`{str(value).lower()}`" if isinstance(value, bool) else f"`{value}`"
