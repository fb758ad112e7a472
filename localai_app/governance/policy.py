"""What the organisation allows; every service asks here before it acts.

`Policy.of_system` reads what an administrator set on this computer, and reads it again when it changes:
every question looks, once a second at most, whether it did. The keys stand in `policy_schema`, where they
are read in `policy_sources`, and what counts where several set one in `policy_merge`.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from localai_app.errors import PolicyRefused
from localai_app.governance.policy_merge import InForce, Origin, Outcome, Problem, merge
from localai_app.governance.policy_schema import BLOCKED, BY_NAME, DEFAULTS, KEYS, PolicyValue
from localai_app.governance.policy_sources import PolicySource, system_source

_LOOK_SECONDS = 1.0

Tell = Callable[["Policy"], bool]
"""Takes note of a change; False: later, please."""


class Policy:
    """The values in force. ``require_…`` raises `PolicyRefused`; the other questions are answered."""

    def __init__(self, values: Mapping[str, PolicyValue] | None = None) -> None:
        """``values`` are mandatory and never change; the other keys have their defaults."""
        given = dict(values or {})
        assert given.keys() <= DEFAULTS.keys(), f"no such policy: {given.keys() - DEFAULTS.keys()}"
        keys = {
            key.name: InForce(key, given[key.name], Origin.MANDATORY)
            if key.name in given
            else InForce(key, key.default)
            for key in KEYS
        }
        self._take(Outcome(MappingProxyType(keys)))
        self._source: PolicySource | None = None
        self._fingerprint: object = None
        self._looked = 0.0
        self._looking = threading.Lock()
        self._untold = False
        self._tell: Tell | None = None

    @classmethod
    def of(cls, source: PolicySource) -> "Policy":
        """What ``source`` says, from now on."""
        policy = cls()
        policy._source = source
        policy.look_again()
        policy._untold = False
        return policy

    @classmethod
    def of_system(cls) -> "Policy":
        """What an administrator set on this computer."""
        return cls.of(system_source())

    # ------------------------------------------------------------ what is in force

    @property
    def values(self) -> Mapping[str, PolicyValue]:
        """What the organisation set, else the defaults: recommended values are the user's matter."""
        self._look()
        return self._values

    @property
    def in_force(self) -> Sequence[InForce]:
        """Every key with its value and where it comes from."""
        self._look()
        return list(self._outcome.keys.values())

    @property
    def problems(self) -> Sequence[Problem]:
        """What is wrong with the sources."""
        self._look()
        return self._outcome.problems

    def is_locked(self, name: str) -> bool:
        """Whether the user's own choice for key ``name`` does not count."""
        self._look()
        return self._outcome.keys[name].locked

    def decide(self, name: str, choice: PolicyValue) -> InForce:
        """Key ``name`` beside what the user chose for it; None where they chose nothing."""
        self._look()
        found = self._outcome.keys[name]
        return found if found.locked or choice is None else InForce(found.key, choice, Origin.CHOICE)

    def recommended(self, name: str) -> PolicyValue:
        """What is recommended for key ``name``; None where nothing is."""
        self._look()
        found = self._outcome.keys[name]
        return found.value if found.origin is Origin.RECOMMENDED else None

    def on_change(self, tell: Tell | None) -> None:
        """Have every change from now on told, in the thread whose question found it."""
        self._tell = tell

    def look_again(self) -> None:
        """Read the sources again, if anything changed there."""
        if self._source is None:
            return
        fingerprint = self._source.fingerprint()  # before reading: a change in between shows the next time
        if fingerprint != self._fingerprint:
            self._take(merge(self._source.layers()))
            self._fingerprint = fingerprint
            self._untold = True
        if self._untold and self._tell is not None:
            self._untold = not self._tell(self)

    def _look(self) -> None:
        if self._source is None or time.monotonic() - self._looked < _LOOK_SECONDS:
            return
        # Whoever finds another thread reading goes on with what was in force.
        if self._looking.acquire(blocking=False):
            try:
                self._looked = time.monotonic()
                self.look_again()
            finally:
                self._looking.release()

    def _take(self, outcome: Outcome) -> None:
        self._outcome = outcome
        self._values: Mapping[str, PolicyValue] = MappingProxyType(
            {name: found.value if found.locked else found.key.default for name, found in outcome.keys.items()}
        )

    # ------------------------------------------------------------ what services ask

    @property
    def banner(self) -> str:
        """Line for the top of the window; empty for none."""
        return str(self.values["Banner"])

    @property
    def idle_lock_minutes(self) -> int:
        """Minutes without a key or a click after which the window hides what it shows; 0: never."""
        minutes = self.values["IdleLockMinutes"]
        return minutes if isinstance(minutes, int) else 0

    @property
    def retention_days(self) -> int:
        """Days after which what nobody changed is erased; 0: never."""
        days = self.values["RetentionDays"]
        return days if isinstance(days, int) else 0

    @property
    def saves_history(self) -> bool:
        """Whether conversations are kept after the app is closed."""
        return bool(self.values["SaveHistory"])

    def allows_model(self, sha256: str) -> bool:
        """Whether the model of that hash may be loaded."""
        return self._lists("AllowedModels", sha256.lower())

    def allows_key_store(self, kind: str) -> bool:
        """Whether ``os``, ``passphrase`` or ``file`` may guard the store's key."""
        wanted = self.values["KeyStore"]
        return wanted in (None, kind) or (wanted == "os-or-passphrase" and kind != "file")

    @property
    def recovery_key(self) -> str:
        """The organisation's public key (base64) that the store's key is also sealed to; empty for none."""
        return str(self.values["RecoveryPublicKey"])

    def require_chat(self) -> None:
        """Chatting must be allowed."""
        if not self._lists("AllowedTasks", "chat"):
            raise PolicyRefused("Your organisation does not allow chatting with a model here.", self._hint)

    def require_model(self, sha256: str) -> None:
        """The model of that hash must be allowed."""
        if not self.allows_model(sha256):
            raise PolicyRefused(
                f"Your organisation does not allow this model (SHA-256 {sha256}).", self._hint
            )

    @property
    def allows_export(self) -> bool:
        """Whether content may leave the store as files."""
        return bool(self.values["AllowExport"])

    def require_export(self, file_format: str) -> None:
        """Exporting to a file of that format must be allowed."""
        if not self.allows_export:
            raise PolicyRefused(f"Your organisation does not allow export ({file_format}).", self._hint)

    @property
    def allows_clipboard(self) -> bool:
        """Whether text may be copied out of the window."""
        return bool(self.values["AllowClipboard"])

    def require_copy(self) -> None:
        """Copying text out of the window must be allowed."""
        if not self.allows_clipboard:
            raise PolicyRefused("Your organisation does not allow copying text out of this app.", self._hint)

    @property
    def allows_links(self) -> bool:
        """Whether addresses of links may be handed out, to be opened in a browser."""
        return bool(self.values["AllowExternalLinks"])

    def require_link(self) -> None:
        """Handing out the address of a link must be allowed."""
        if not self.allows_links:
            raise PolicyRefused("Your organisation does not allow opening links from this app.", self._hint)

    @property
    def catalogue_keys(self) -> tuple[str, ...] | None:
        """Public keys (minisign) of which one must have signed the catalogue; None: as it was shipped."""
        keys = self.values["CatalogueKeys"]
        return keys if isinstance(keys, tuple) else None

    @property
    def allows_delete(self) -> bool:
        """Whether content may be erased."""
        return not self.values["LegalHold"]

    def require_delete(self) -> None:
        """Erasing must be allowed."""
        if not self.allows_delete:
            raise PolicyRefused("Your organisation holds all content: nothing may be erased now.", self._hint)

    def require_key_store(self, kind: str) -> None:
        """``os``, ``passphrase`` or ``file`` must be allowed to guard the store's key."""
        if not self.allows_key_store(kind):
            wanted = _KEY_STORES[str(self.values["KeyStore"])]
            raise PolicyRefused(
                f"Your organisation requires that {wanted} guards the store's key, not {_KIND_WORDS[kind]}.",
                self._hinted(
                    "Protect the key in the required way, or ask your organisation's administrator."
                ),
            )

    @property
    def model_source(self) -> str:
        """URL of the hub that models come from; empty where the user may choose."""
        return str(self.values["ModelSourceURL"]).rstrip("/")

    @property
    def allows_hugging_face(self) -> bool:
        """Whether models may come from huggingface.co."""
        return bool(self.values["AllowHuggingFace"])

    @property
    def proxy(self) -> str:
        """URL of the proxy to connect through; empty where the user may choose."""
        return str(self.values["ProxyURL"])

    @property
    def ca_bundle(self) -> str:
        """File of certificates to trust besides the system's; empty for none."""
        return str(self.values["CABundle"])

    @property
    def offline_only(self) -> bool:
        """Whether no process may ever connect."""
        return bool(self.values["OfflineOnly"])

    def require_connection(self) -> None:
        """Connecting to a hub must be allowed."""
        addresses = ("ModelSourceURL", "ProxyURL", "CABundle")
        blocked = any(self.values[name] == BLOCKED for name in addresses)
        if blocked or self.offline_only or not (self.allows_hugging_face or self.model_source):
            raise PolicyRefused(
                "Your organisation does not allow fetching models from a network.", self._hint
            )

    def require_search(self) -> None:
        """Looking for models beyond the catalogue must be allowed."""
        self.require_connection()
        if self.values["RequireSignedCatalogue"]:
            raise PolicyRefused("Your organisation allows the models of its catalogue only.", self._hint)

    def require_pull(self, repo: str, *, licence: str = "", from_catalogue: bool = False) -> None:
        """Fetching from ``owner/name`` must be allowed; a licence that is unknown is in no list."""
        if not from_catalogue:
            self.require_search()
        self.require_connection()
        owner = repo.partition("/")[0]
        if not self._lists("AllowedPublishers", owner):
            raise PolicyRefused(
                f"Your organisation does not allow models published by “{owner}”.", self._hint
            )
        if not self._lists("AllowedLicences", licence):
            shown = f"the licence “{licence}”" if licence else "an unknown licence"
            raise PolicyRefused(f"Your organisation does not allow models under {shown}.", self._hint)

    def require_model_folder(self, path: Path) -> None:
        """Loading a model from that place must be allowed."""
        allowed = self.values["ModelDirectories"]
        if allowed is None:
            return
        folders = allowed if isinstance(allowed, tuple) else ()
        if not any(path.resolve().is_relative_to(Path(folder).resolve()) for folder in folders):
            raise PolicyRefused(
                f"Your organisation does not allow models from “{path.parent}”.",
                f"Allowed: {', '.join(folders) or 'none'}. {self._hint}",
            )

    def require_template(self, sha256: str) -> None:
        """Using the chat template of that hash (empty: the model has none) must be allowed."""
        if sha256 and not self._lists("AllowedChatTemplates", sha256):
            raise PolicyRefused(
                f"Your organisation does not allow this model's chat template (SHA-256 {sha256}).", self._hint
            )

    @property
    def allows_gpu(self) -> bool:
        """Whether models may run on a GPU."""
        return bool(self.values["AllowGPU"])

    def require_sandbox(self, missing: str) -> None:
        """Child processes must be confined where the organisation wants that; ``missing`` says why not."""
        if missing and self.values["RequireSandbox"]:
            raise PolicyRefused(
                f"Your organisation requires confined processes, and {missing}.",
                self._hinted("Use a computer whose system can confine them, such as Linux 5.13 or newer."),
            )

    def require_import(self) -> None:
        """Using a model file from elsewhere on this computer must be allowed."""
        if not self.values["AllowModelImport"]:
            raise PolicyRefused("Your organisation does not allow models from elsewhere.", self._hint)

    def require_documents(self) -> None:
        """Reading and searching documents must be allowed."""
        if not self._lists("AllowedTasks", "documents"):
            raise PolicyRefused("Your organisation does not allow working with documents here.", self._hint)

    def require_ask(self) -> None:
        """Having a model answer from documents must be allowed."""
        self.require_documents()
        if not self._lists("AllowedTasks", "ask"):
            raise PolicyRefused("Your organisation does not allow asking documents here.", self._hint)

    def allows_task(self, name: str) -> bool:
        """Whether documents may be worked on by a task, or by a template of it: ``extract.invoice``.

        Where the task is allowed its templates are, but for those that must be listed themselves.
        """
        kind = name.partition(".")[0]
        needed = {"documents", kind, *({name} & set(BY_NAME["AllowedTasks"].off))}
        return all(self._lists("AllowedTasks", one) for one in needed)

    def require_task(self, name: str) -> None:
        """Working on documents by that task, or template of a task, must be allowed."""
        self.require_documents()
        if self.allows_task(name):
            return
        if self.allows_task(name.partition(".")[0]):
            raise PolicyRefused(
                f"“{name}” is off on this computer.",
                self._hinted("An administrator turns it on: policy `AllowedTasks` must list it."),
            )
        raise PolicyRefused(f"Your organisation does not allow the task “{name}” here.", self._hint)

    def require_document_type(self, file_format: str) -> None:
        """Reading documents of that format (as `Facts.format` names it) must be allowed."""
        if not self._lists("AllowedDocumentTypes", file_format):
            raise PolicyRefused(
                f"Your organisation does not allow documents of type “{file_format}”.", self._hint
            )

    def require_document_size(self, size: int) -> None:
        """Reading a document of ``size`` bytes must be allowed."""
        limit = self.values["MaxDocumentMB"]
        if isinstance(limit, int) and size > limit * 1_000_000:
            raise PolicyRefused(
                f"The file has {size / 1e6:,.0f} MB; a document may have {limit:,} MB.",
                "Split it into smaller files and add those.",
            )

    @property
    def audit_folder(self) -> str:
        """The only folder that the audit log may be exported to; empty where none is named."""
        named = str(self.values["AuditExportPath"])
        return "" if named == BLOCKED else named

    @property
    def notifies_updates(self) -> bool:
        """Whether to look for another version that was installed meanwhile."""
        return self.decide("UpdateMode", None).value == "notify"

    @property
    def audits_details(self) -> bool:
        """Whether the audit log also tells of what was only looked at."""
        return self.values["AuditLevel"] == "full"

    @property
    def captures_content(self) -> bool:
        """Whether what is written here is kept for the organisation, whatever is erased."""
        return bool(self.values["ContentCapture"])

    @property
    def audit_to_system_log(self) -> bool:
        """Whether the audit log also goes to the system's own."""
        return bool(self.values["AuditToSystemLog"])

    def require_audit_export(self) -> None:
        """Exporting the audit log must be allowed; where a folder is named for it, it is."""
        named = self.values["AuditExportPath"]
        if named == BLOCKED:
            raise PolicyRefused(
                "Where your organisation has the audit log exported to cannot be read.", self._hint
            )
        if not named:
            self.require_export("audit log")

    @property
    def _hint(self) -> str:
        return self._hinted(_ASK)

    def _hinted(self, hint: str) -> str:
        """``hint``, after a word about errors in the policy where there are some."""
        return f"{_BROKEN} {hint}" if self.problems else hint

    def _lists(self, name: str, item: str) -> bool:
        allowed = self.values[name]
        if allowed is None:
            return item not in BY_NAME[name].off
        return isinstance(allowed, tuple) and item in allowed


_KIND_WORDS = {"os": "the system's keystore", "passphrase": "a passphrase", "file": "a key file"}
_KEY_STORES = {
    "os": "the system's keystore",
    "passphrase": "a passphrase",
    "os-or-passphrase": "the system's keystore or a passphrase",
}
_ASK = "Ask your organisation's administrator if you need it."
_BROKEN = "The policy on this computer has errors (`localai-app policy show`)."
