"""What the organisation allows; every service asks here before it acts.

Only the defaults stand behind it so far. Each key has one row in `KEYS`, with the name that
administrators will use for it; a `Policy` holds the values in force.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from localai_app.errors import PolicyRefused

PolicyValue = None | bool | int | str | tuple[str, ...]


@dataclass(frozen=True)
class PolicyKey:
    """One thing that can be regulated."""

    name: str
    default: PolicyValue
    means: str


KEYS = (
    PolicyKey("AllowedTasks", None, "kinds of work that may be done (“chat” is one); None: all"),
    PolicyKey("AllowedModels", None, "SHA-256 of the models that may be loaded; None: all, empty: none"),
    PolicyKey("AllowExport", True, "conversations may leave the store as files"),
    PolicyKey("LegalHold", False, "nothing may be erased"),
    PolicyKey("KeyStore", None, "the only place that may guard the key, “os” or “passphrase”; None: any"),
    PolicyKey("SaveHistory", True, "conversations are kept after the app is closed"),
    PolicyKey("Banner", "", "line shown at the top of the window"),
    PolicyKey("OfflineOnly", False, "nothing is ever fetched: no process connects"),
    PolicyKey("AllowHuggingFace", True, "models may come from huggingface.co"),
    PolicyKey("ModelSourceURL", "", "hub or mirror that models come from, instead of the user's choice"),
    PolicyKey("RequireSignedCatalogue", False, "only models of the signed catalogue may be fetched"),
    PolicyKey("AllowedPublishers", None, "owners of repositories that models may come from; None: all"),
    PolicyKey("AllowedLicences", None, "licences of models that may be fetched (“apache-2.0”); None: all"),
    PolicyKey("AllowModelImport", True, "model files from elsewhere on this computer may be used"),
    PolicyKey("ProxyURL", "", "proxy for fetching, instead of the user's"),
    PolicyKey("CABundle", "", "file of certificates to trust besides the system's"),
)
DEFAULTS: Mapping[str, PolicyValue] = MappingProxyType({key.name: key.default for key in KEYS})
_ASK = "Ask your organisation's administrator if you need it."


class Policy:
    """The values in force. ``require_…`` raises `PolicyRefused`; the other questions are answered."""

    def __init__(self, values: Mapping[str, PolicyValue] | None = None) -> None:
        """``values`` replace defaults by key."""
        given = dict(values or {})
        assert given.keys() <= DEFAULTS.keys(), f"no such policy: {given.keys() - DEFAULTS.keys()}"
        self.values: Mapping[str, PolicyValue] = MappingProxyType({**DEFAULTS, **given})

    @property
    def banner(self) -> str:
        """Line for the top of the window; empty for none."""
        return str(self.values["Banner"])

    @property
    def saves_history(self) -> bool:
        """Whether conversations are kept after the app is closed."""
        return bool(self.values["SaveHistory"])

    def allows_model(self, sha256: str) -> bool:
        """Whether the model of that hash may be loaded."""
        return self._lists("AllowedModels", sha256.lower())

    def allows_key_store(self, kind: str) -> bool:
        """Whether ``os``, ``passphrase`` or ``file`` may guard the store's key."""
        return self.values["KeyStore"] in (None, kind)

    def require_chat(self) -> None:
        """Chatting must be allowed."""
        if not self._lists("AllowedTasks", "chat"):
            raise PolicyRefused("Your organisation does not allow chatting with a model here.", _ASK)

    def require_model(self, sha256: str) -> None:
        """The model of that hash must be allowed."""
        if not self.allows_model(sha256):
            raise PolicyRefused(f"Your organisation does not allow this model (SHA-256 {sha256}).", _ASK)

    def require_export(self, file_format: str) -> None:
        """Exporting to a file of that format must be allowed."""
        if not self.values["AllowExport"]:
            raise PolicyRefused(f"Your organisation does not allow export ({file_format}).", _ASK)

    def require_delete(self) -> None:
        """Erasing must be allowed."""
        if self.values["LegalHold"]:
            raise PolicyRefused("Your organisation holds all content: nothing may be erased now.", _ASK)

    def require_key_store(self, kind: str) -> None:
        """``os``, ``passphrase`` or ``file`` must be allowed to guard the store's key."""
        if not self.allows_key_store(kind):
            wanted = {"os": "the system's keystore", "passphrase": "a passphrase"}[
                str(self.values["KeyStore"])
            ]
            raise PolicyRefused(
                f"Your organisation requires that {wanted} guards the store's key, not {_KIND_WORDS[kind]}.",
                "Protect the key in the required way, or ask your organisation's administrator.",
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

    def require_connection(self) -> None:
        """Connecting to a hub must be allowed."""
        if self.values["OfflineOnly"] or not (self.allows_hugging_face or self.model_source):
            raise PolicyRefused("Your organisation does not allow fetching models from a network.", _ASK)

    def require_search(self) -> None:
        """Looking for models beyond the catalogue must be allowed."""
        self.require_connection()
        if self.values["RequireSignedCatalogue"]:
            raise PolicyRefused("Your organisation allows the models of its catalogue only.", _ASK)

    def require_pull(self, repo: str, *, licence: str = "", from_catalogue: bool = False) -> None:
        """Fetching from ``owner/name`` must be allowed; a licence that is unknown is in no list."""
        if not from_catalogue:
            self.require_search()
        self.require_connection()
        owner = repo.partition("/")[0]
        if not self._lists("AllowedPublishers", owner):
            raise PolicyRefused(f"Your organisation does not allow models published by “{owner}”.", _ASK)
        if not self._lists("AllowedLicences", licence):
            shown = f"the licence “{licence}”" if licence else "an unknown licence"
            raise PolicyRefused(f"Your organisation does not allow models under {shown}.", _ASK)

    def require_import(self) -> None:
        """Using a model file from elsewhere on this computer must be allowed."""
        if not self.values["AllowModelImport"]:
            raise PolicyRefused("Your organisation does not allow models from elsewhere.", _ASK)

    def _lists(self, name: str, item: str) -> bool:
        allowed = self.values[name]
        return allowed is None or (isinstance(allowed, tuple) and item in allowed)


_KIND_WORDS = {"os": "the system's keystore", "passphrase": "a passphrase", "file": "a key file"}
