"""How policy is said to people: the names of its keys, their values, and what to do about a problem."""

from localai_app.governance.policy_merge import InForce, Origin, Problem
from localai_app.governance.policy_schema import BLOCKED, PolicyKey, PolicyValue

NOT_ENFORCED = "not enforced by this version"
_SHOWN_ITEMS = 3

TITLES = {
    "OfflineOnly": "Offline only",
    "AllowHuggingFace": "Models from huggingface.co",
    "ModelSourceURL": "Hub that models come from",
    "ProxyURL": "Proxy",
    "CABundle": "Additional certificates",
    "AllowExternalLinks": "Links to the web",
    "AllowLocalAPI": "Models for other programs",
    "UpdateMode": "Notice of newer versions",
    "AllowedModels": "Allowed models",
    "AllowedLicences": "Allowed licences",
    "AllowedPublishers": "Allowed publishers",
    "AllowedChatTemplates": "Allowed chat templates",
    "RequireSignedCatalogue": "Models of the signed catalogue only",
    "CatalogueKeys": "Keys that may sign the catalogue",
    "AllowModelImport": "Models from elsewhere on this computer",
    "ModelDirectories": "Folders of models",
    "AllowGPU": "Use of a GPU",
    "RequireSandbox": "Confinement required",
    "AllowedTasks": "Allowed kinds of work",
    "AllowExport": "Export as files",
    "AllowClipboard": "Copying text",
    "Banner": "Line at the top of the window",
    "IdleLockMinutes": "Minutes until the window locks",
    "AllowedDocumentTypes": "Allowed types of documents",
    "MaxDocumentMB": "Largest document, in megabytes",
    "RequireEncryption": "Encryption required",
    "KeyStore": "What may guard the store's key",
    "RecoveryPublicKey": "Recovery key",
    "RetentionDays": "Days that content is kept",
    "LegalHold": "Legal hold",
    "SaveHistory": "Conversations are kept",
    "ContentCapture": "Capture of content",
    "AuditLevel": "Detail of the audit log",
    "AuditToSystemLog": "Audit log goes to the system's log",
    "AuditExportPath": "Folder for exports of the audit log",
}
"""The keys in plain words."""


def value_words(key: PolicyKey, value: PolicyValue) -> str:
    """A value of ``key`` for a person, in one line."""
    if value is None:
        return f"anything but {', '.join(key.off)}" if key.off else "anything"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value == BLOCKED:
        return "nothing: refused"
    if value == 0 and key.zero_means:
        return key.zero_means
    if isinstance(value, tuple):
        more = f" and {len(value) - _SHOWN_ITEMS} more" if len(value) > _SHOWN_ITEMS else ""
        return f"only {', '.join(value[:_SHOWN_ITEMS])}{more}" if value else "nothing"
    return str(value) if value != "" else "none"


def where_from(one: InForce) -> str:
    """Why the value is in force, and the sources that say so."""
    return ", ".join([f"{one.origin}", *one.sources])


def is_set(one: InForce) -> bool:
    """Whether an administrator said something about the key."""
    return one.origin not in (Origin.DEFAULT, Origin.CHOICE)


def remedy(problem: Problem) -> str:
    """What to do about ``problem``, and who can."""
    done = "corrects that key" if problem.key else "mends that source"
    return f"An administrator {done}; `localai-app policy check FILE` says whether a file is sound."
