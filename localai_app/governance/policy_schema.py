"""Every key of policy, in one table: what it may be, what it means, and what becomes of a bad value.

The readers, the services' doors, the templates for administrators (``packaging/policy/``) and the
reference in the documentation are derived from `KEYS`.

``safe`` is what a key falls to where its value cannot be read or makes no sense: the strictest one that
loses no data. ``enforced`` says whether this version acts on the key; one that is listed but not enforced
is said to be so wherever it is shown.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePosixPath, PureWindowsPath
from types import MappingProxyType
from urllib.parse import urlsplit

PolicyValue = None | bool | int | str | tuple[str, ...]
"""None stands for an allow-list, or a choice, that nobody made: everything is allowed but `PolicyKey.off`."""

BLOCKED = "!blocked"
"""In place of an address or a path that cannot be read: what needs it is refused."""
MAX_ITEMS = 10_000
_MAX_TEXT = 2_000


class Kind(StrEnum):
    """Types of values."""

    BOOL = "true or false"
    WHOLE = "whole number"
    TEXT = "text"
    CHOICE = "choice"
    LIST = "list"


class Merge(StrEnum):
    """What counts where several mandatory sources set a key."""

    TRUE = "true, if any source says so"
    FALSE = "false, if any source says so"
    SMALLEST = "the smallest"
    COMMON = "what all lists have in common"
    STRICTEST = "the strictest"
    FIRST = "that of the first source"


class Form(StrEnum):
    """What a text, or an item of a list, must look like."""

    LINE = "one line"
    WORD = "lower-case word"
    TASK = "lower-case word, or two with a point between them"
    NAME = "name"
    SHA256 = "SHA-256, 64 hexadecimal digits"
    URL = "https or http address, without a password"
    PATH = "full path"
    KEY = "32 bytes in Base64"
    MINISIGN = "minisign public key"


@dataclass(frozen=True)
class PolicyKey:
    """One thing that can be regulated."""

    name: str
    group: str
    kind: Kind
    default: PolicyValue
    safe: PolicyValue
    merge: Merge
    means: str
    """One line."""
    example: PolicyValue
    """A value that is neither None nor empty, for templates."""
    enforced: bool = False
    """Whether this version acts on it."""
    recommended: bool = False
    """Whether it may be recommended: a user's own setting stands beside it."""
    form: Form = Form.LINE
    choices: tuple[str, ...] = ()
    """Of `Kind.CHOICE`, the laxest first."""
    known: tuple[str, ...] = ()
    """Items of a list that this version knows; others are allowed, for newer ones."""
    off: tuple[str, ...] = ()
    """Items of a list that only a list allows which names them: None does not stand for them."""
    lowest: int = 0
    highest: int = 0
    zero_means: str = ""
    """Of a number: what 0 stands for; then it is laxer than any other."""

    @property
    def tightens(self) -> bool:
        """Whether one value is stricter than another, so that a source may only tighten it."""
        return self.merge is not Merge.FIRST


def _flag(
    name: str,
    group: str,
    default: bool,
    strict: bool,
    means: str,
    *,
    enforced: bool = False,
    recommended: bool = False,
) -> PolicyKey:
    merge = Merge.TRUE if strict else Merge.FALSE
    return PolicyKey(
        name, group, Kind.BOOL, default, strict, merge, means, strict, enforced, recommended=recommended
    )


def _allowed(
    name: str,
    group: str,
    form: Form,
    example: tuple[str, ...],
    means: str,
    *,
    enforced: bool = False,
    known: tuple[str, ...] = (),
    off: tuple[str, ...] = (),
) -> PolicyKey:
    return PolicyKey(
        name,
        group,
        Kind.LIST,
        None,
        (),
        Merge.COMMON,
        means,
        example,
        enforced,
        form=form,
        known=known,
        off=off,
    )


MODELS, NETWORK, DOCUMENTS = "Models", "Network", "Documents"
DATA, USE, AUDIT = "Data and keys", "Use", "Audit"
_SHA256 = "0" * 63 + "1"
_TASKS = ("chat", "documents", "ask", "summarise", "extract", "classify", "answer")
_TEMPLATES_OFF = ("extract.medical-letter",)
_FORMATS = ("pdf", "docx", "xlsx", "csv", "pptx", "eml", "msg", "rtf", "html", "md", "image", "txt")

KEYS = (
    _flag(
        "OfflineOnly", NETWORK, False, True, "Nothing is ever fetched: no process connects.", enforced=True
    ),
    _flag("AllowHuggingFace", NETWORK, True, False, "Models may come from huggingface.co.", enforced=True),
    PolicyKey(
        "ModelSourceURL",
        NETWORK,
        Kind.TEXT,
        "",
        BLOCKED,
        Merge.FIRST,
        "Address of the hub or mirror that models come from, instead of the user's choice.",
        "https://models.example.com",
        enforced=True,
        recommended=True,
        form=Form.URL,
    ),
    PolicyKey(
        "ProxyURL",
        NETWORK,
        Kind.TEXT,
        "",
        BLOCKED,
        Merge.FIRST,
        "Proxy for fetching, instead of the user's.",
        "http://proxy.example.com:3128",
        enforced=True,
        recommended=True,
        form=Form.URL,
    ),
    PolicyKey(
        "CABundle",
        NETWORK,
        Kind.TEXT,
        "",
        BLOCKED,
        Merge.FIRST,
        "File of certificates (PEM) to trust besides the system's when fetching.",
        "/etc/ssl/certs/example-ca.pem",
        enforced=True,
        form=Form.PATH,
    ),
    _flag(
        "AllowExternalLinks",
        NETWORK,
        True,
        False,
        "Addresses of links in answers may be taken to the browser.",
        enforced=True,
    ),
    _flag("AllowLocalAPI", NETWORK, True, False, "Other programs of this computer may use the models."),
    PolicyKey(
        "UpdateMode",
        NETWORK,
        Kind.CHOICE,
        "off",
        "off",
        Merge.STRICTEST,
        "Whether the app says that another version was installed meanwhile (“notify”) or does not look "
        "(“off”). It never looks on a network.",
        "notify",
        enforced=True,
        recommended=True,
        choices=("notify", "off"),
    ),
    _allowed(
        "AllowedModels",
        MODELS,
        Form.SHA256,
        (_SHA256,),
        "SHA-256 of the model files that may be loaded.",
        enforced=True,
    ),
    _allowed(
        "AllowedLicences",
        MODELS,
        Form.NAME,
        ("apache-2.0", "mit"),
        "Licences of models that may be fetched; an unknown licence is in no list.",
        enforced=True,
    ),
    _allowed(
        "AllowedPublishers",
        MODELS,
        Form.NAME,
        ("google", "Qwen"),
        "Owners of repositories that models may be fetched from.",
        enforced=True,
    ),
    _allowed(
        "AllowedChatTemplates",
        MODELS,
        Form.SHA256,
        (_SHA256,),
        "SHA-256 of chat templates that may be used.",
        enforced=True,
    ),
    _flag(
        "RequireSignedCatalogue",
        MODELS,
        False,
        True,
        "Only models of the signed catalogue may be fetched.",
        enforced=True,
    ),
    _allowed(
        "CatalogueKeys",
        MODELS,
        Form.MINISIGN,
        ("RWQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",),
        "Public keys (minisign) that may sign the model catalogue.",
        enforced=True,
    ),
    _flag(
        "AllowModelImport",
        MODELS,
        True,
        False,
        "Model files from elsewhere on this computer may be used.",
        enforced=True,
    ),
    _allowed(
        "ModelDirectories",
        MODELS,
        Form.PATH,
        ("/srv/models",),
        "Folders that models may be loaded from.",
        enforced=True,
    ),
    _flag(
        "AllowGPU",
        MODELS,
        True,
        False,
        "Models may run on a GPU, whose driver is less confined.",
        enforced=True,
        recommended=True,
    ),
    _flag(
        "RequireSandbox",
        MODELS,
        False,
        True,
        "Where the system cannot confine the engine and the readers, the app does not start.",
        enforced=True,
    ),
    _allowed(
        "AllowedTasks",
        USE,
        Form.TASK,
        _TASKS,
        "Kinds of work that may be done; a template that is off (extract.medical-letter) must be listed "
        "beside its task.",
        enforced=True,
        known=(*_TASKS, *_TEMPLATES_OFF),
        off=_TEMPLATES_OFF,
    ),
    _flag(
        "AllowExport",
        USE,
        True,
        False,
        "Conversations, and results of tasks with their evidence, may leave the store as files.",
        enforced=True,
    ),
    _flag("AllowClipboard", USE, True, False, "Text may be copied out of the app.", enforced=True),
    PolicyKey(
        "Banner",
        USE,
        Kind.TEXT,
        "",
        "",
        Merge.FIRST,
        "Line shown at the top of the window, such as a classification.",
        "INTERNAL",
        enforced=True,
    ),
    PolicyKey(
        "IdleLockMinutes",
        USE,
        Kind.WHOLE,
        0,
        5,
        Merge.SMALLEST,
        "Minutes without input after which the window locks.",
        15,
        enforced=True,
        recommended=True,
        highest=1440,
        zero_means="never",
    ),
    _allowed(
        "AllowedDocumentTypes",
        DOCUMENTS,
        Form.WORD,
        ("pdf", "docx", "txt"),
        "Kinds of documents that may be read.",
        enforced=True,
        known=_FORMATS,
    ),
    PolicyKey(
        "MaxDocumentMB",
        DOCUMENTS,
        Kind.WHOLE,
        200,
        1,
        Merge.SMALLEST,
        "Megabytes that one document may have.",
        50,
        enforced=True,
        lowest=1,
        highest=100_000,
    ),
    _flag(
        "RequireEncryption",
        DATA,
        True,
        True,
        "The store must be encrypted. It always is: no setting turns that off.",
        enforced=True,
    ),
    PolicyKey(
        "KeyStore",
        DATA,
        Kind.CHOICE,
        None,
        "os-or-passphrase",
        Merge.STRICTEST,
        "What may guard the store's key: the system's keystore (“os”), a passphrase, or either of the two; "
        "without this, a key file too.",
        "os-or-passphrase",
        enforced=True,
        choices=("os-or-passphrase", "os", "passphrase"),
    ),
    PolicyKey(
        "RecoveryPublicKey",
        DATA,
        Kind.TEXT,
        "",
        "",
        Merge.FIRST,
        "Public key (X25519) of the organisation to which the store's key is also sealed.",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        enforced=True,
        form=Form.KEY,
    ),
    PolicyKey(
        "RetentionDays",
        DATA,
        Kind.WHOLE,
        0,
        0,
        Merge.FIRST,
        "Days after which conversations, documents and task runs that nobody changed are erased.",
        365,
        enforced=True,
        recommended=True,
        highest=36_500,
        zero_means="never",
    ),
    _flag("LegalHold", DATA, False, True, "Nothing may be erased.", enforced=True),
    PolicyKey(
        "SaveHistory",
        DATA,
        Kind.BOOL,
        True,
        True,
        Merge.FIRST,
        "Conversations are kept after the app is closed.",
        True,
        enforced=True,
        recommended=True,
    ),
    PolicyKey(
        "ContentCapture",
        DATA,
        Kind.BOOL,
        False,
        False,
        Merge.FIRST,
        "Questions, answers and results are kept for the organisation, whatever is erased; the window always "
        "says so.",
        True,
        enforced=True,
    ),
    PolicyKey(
        "AuditLevel",
        AUDIT,
        Kind.CHOICE,
        "normal",
        "full",
        Merge.STRICTEST,
        "How much is written in the audit log: what was done (“normal”), or also what was opened and "
        "searched (“full”).",
        "full",
        enforced=True,
        choices=("normal", "full"),
    ),
    _flag(
        "AuditToSystemLog",
        AUDIT,
        False,
        True,
        "Every entry of the audit log also goes to this computer's own log (syslog, Windows Event Log).",
        enforced=True,
    ),
    PolicyKey(
        "AuditExportPath",
        AUDIT,
        Kind.TEXT,
        "",
        BLOCKED,
        Merge.FIRST,
        "The only folder that the audit log, and content kept for the organisation, may be exported to; "
        "checkpoints are put there, too.",
        "/var/log/localai-app",
        enforced=True,
        form=Form.PATH,
    ),
)
BY_NAME: Mapping[str, PolicyKey] = MappingProxyType({key.name: key for key in KEYS})
DEFAULTS: Mapping[str, PolicyValue] = MappingProxyType({key.name: key.default for key in KEYS})

_PATTERNS = {
    Form.LINE: re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]{1,200}"),
    Form.WORD: re.compile(r"[a-z][a-z0-9-]{0,63}"),
    Form.TASK: re.compile(r"[a-z][a-z0-9-]{0,63}(\.[a-z][a-z0-9-]{0,63})?"),
    Form.NAME: re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}"),
    Form.SHA256: re.compile(r"[0-9A-Fa-f]{64}"),
    Form.URL: re.compile(r"https?://[!-~]+", re.IGNORECASE),
    Form.PATH: re.compile(r"[^\x00-\x1f\x7f]+"),
    Form.KEY: re.compile(r"[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]="),
    Form.MINISIGN: re.compile(r"RW[A-Za-z0-9+/]{54}"),
}


def checked(key: PolicyKey, raw: object) -> PolicyValue:
    """``raw`` as a value of ``key``; raise `ValueError`, which says what was expected, without ``raw``."""
    if key.kind is Kind.BOOL:
        if isinstance(raw, bool):
            return raw
        raise _unfit("true or false", raw)
    if key.kind is Kind.WHOLE:
        return _whole(key, raw)
    if key.kind is Kind.CHOICE:
        if isinstance(raw, str) and raw in key.choices:
            return raw
        raise ValueError("expected one of " + ", ".join(f"“{choice}”" for choice in key.choices))
    if key.kind is Kind.TEXT:
        return "" if raw == "" and key.form is Form.LINE else _text(key.form, raw)
    if not isinstance(raw, list | tuple):
        raise _unfit("a list", raw)
    if len(raw) > MAX_ITEMS:
        raise ValueError(f"expected at most {MAX_ITEMS:,} items, not {len(raw):,}")
    return tuple(dict.fromkeys(_item(key.form, item, number) for number, item in enumerate(raw, 1)))


def unknown_items(key: PolicyKey, value: PolicyValue) -> list[str]:
    """Items of a list that this version does not know; they change nothing here."""
    return [item for item in value if item not in key.known] if key.known and isinstance(value, tuple) else []


def _whole(key: PolicyKey, raw: object) -> int:
    if isinstance(raw, bool) or not isinstance(raw, int):
        raise _unfit("a whole number", raw)
    if not key.lowest <= raw <= key.highest:
        raise ValueError(f"expected a number from {key.lowest} to {key.highest}")
    return raw


def _item(form: Form, raw: object, number: int) -> str:
    try:
        return _text(form, raw)
    except ValueError as error:
        raise ValueError(f"item {number}: {error}") from None


def _text(form: Form, raw: object) -> str:
    if not isinstance(raw, str):
        raise _unfit("text", raw)
    fits = len(raw) <= _MAX_TEXT and _PATTERNS[form].fullmatch(raw) is not None
    if fits and form is Form.URL:
        fits = _is_address(raw)
    elif fits and form is Form.PATH:
        fits = PurePosixPath(raw).is_absolute() or PureWindowsPath(raw).is_absolute()
    if not fits:
        raise ValueError(f"expected: {form.value}")
    return raw.lower() if form is Form.SHA256 else raw


def _is_address(text: str) -> bool:
    """Whether it has a host and a sound port, and no password, which every user could read."""
    try:
        parts = urlsplit(text)
        return bool(parts.hostname) and (parts.port is None or parts.port > 0) and "@" not in parts.netloc
    except ValueError:
        return False


def _unfit(expected: str, raw: object) -> ValueError:
    return ValueError(f"expected {expected}, not {_kind(raw)}")


def _kind(raw: object) -> str:
    if isinstance(raw, bool):
        return "true or false"
    names = {int: "a number", float: "a number with a point", str: "text", type(None): "null"}
    return names.get(type(raw), "a list" if isinstance(raw, list | tuple) else "a group of values")
