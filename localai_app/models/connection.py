"""How the puller connects: hub or mirror, hosts, proxy, certificates and access token.

What policy sets goes before what the user set. The token lies in the system's keystore, or where there
is none in the encrypted store; it reaches the puller over its pipe alone.
"""

import os
from collections.abc import Mapping
from urllib.parse import urlsplit

from localai_app.errors import UsageError
from localai_app.governance.keystore import FindKeystore, system_keystore
from localai_app.governance.policy import Policy
from localai_app.models.hub_protocol import Configure
from localai_app.store.settings import Settings

HUGGING_FACE = "https://huggingface.co"
HUGGING_FACE_HOSTS = ("huggingface.co", "*.huggingface.co", "hf.co", "*.hf.co")

_ENDPOINT, _PROXY, _TOKEN = "hub.endpoint", "hub.proxy", "hub.token"
_LIMIT = "hub.limit"
_TOKEN_FOR = "hub.token_for"  # noqa: S105 - name of a setting
"""The endpoint at which the token was entered: no other one sees it."""
_SERVICE, _USER = "localai-app", "hub access token"
_PROXY_VARIABLES = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")


class Connection:
    """The settings of connections; a change holds for the next puller."""

    def __init__(
        self,
        settings: Settings,
        policy: Policy,
        *,
        find_keystore: FindKeystore = system_keystore,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        self._settings = settings
        self._policy = policy
        self._find_keystore = find_keystore
        self._environment = environment

    @property
    def endpoint(self) -> str:
        """URL of the hub: policy's, else the user's, else the recommended one, else Hugging Face."""
        recommended = self._policy.recommended("ModelSourceURL")
        chosen = str(self._settings.get(_ENDPOINT) or recommended or HUGGING_FACE)
        return self._policy.model_source or chosen.rstrip("/")

    def set_endpoint(self, url: str) -> None:
        """Fetch from the hub at ``url``; empty for Hugging Face. Raise `UsageError` for what is no URL."""
        self._settings.set(_ENDPOINT, _checked_url(url, ("https", "http")) or None)

    @property
    def proxy(self) -> str:
        """URL of the proxy: policy's, the user's, the recommended one, the environment's; empty for none."""
        recommended = self._policy.recommended("ProxyURL")
        chosen = self._policy.proxy or str(self._settings.get(_PROXY) or recommended or "")
        return chosen or next(filter(None, map(self._environment.get, _PROXY_VARIABLES)), "")

    def set_proxy(self, url: str) -> None:
        """Connect through the proxy at ``url``; empty for the environment's. Raise `UsageError`."""
        self._settings.set(_PROXY, _checked_url(url, ("http", "https")) or None)

    @property
    def limit(self) -> int:
        """Bytes per second that are fetched at most; 0: as fast as it goes."""
        kept = self._settings.get(_LIMIT)
        return kept if isinstance(kept, int) else 0

    def set_limit(self, bytes_per_second: int) -> None:
        """Keep the limit; `PullService.set_limit` also tells the puller."""
        self._settings.set(_LIMIT, max(0, bytes_per_second) or None)

    @property
    def has_token(self) -> bool:
        """Whether an access token is kept for `endpoint`."""
        return bool(self._token())

    def set_token(self, token: str) -> None:
        """Keep the access token of `endpoint`; empty forgets it. Raise `UsageError` for what is none."""
        token = token.strip()
        if not (token.isascii() and token.isprintable()) or " " in token or len(token) > 500:
            raise UsageError("That is no access token.", "It is one word that begins with “hf_”.")
        keystore = self._find_keystore()
        if keystore is not None:
            if token:
                keystore.set_password(_SERVICE, _USER, token)
            elif keystore.get_password(_SERVICE, _USER) is not None:
                keystore.delete_password(_SERVICE, _USER)
        self._settings.set(_TOKEN, (token or None) if keystore is None else None)
        self._settings.set(_TOKEN_FOR, self.endpoint if token else None)

    def configure(self) -> Configure:
        """What the puller is told."""
        endpoint = self.endpoint
        host = (urlsplit(endpoint).hostname or "").lower()
        hosts = [host]
        if self._policy.allows_hugging_face:  # a mirror may send to the storage of the original
            hosts += HUGGING_FACE_HOSTS
        return Configure(
            endpoint=endpoint,
            hosts=tuple(dict.fromkeys(hosts)),
            token=self._token(),
            proxy=self.proxy,
            ca_bundle=self._policy.ca_bundle,
        )

    def _token(self) -> str:
        if self._settings.get(_TOKEN_FOR) != self.endpoint:
            return ""
        keystore = self._find_keystore()
        kept = keystore.get_password(_SERVICE, _USER) if keystore is not None else None
        return kept or str(self._settings.get(_TOKEN) or "")


def _checked_url(url: str, schemes: tuple[str, ...]) -> str:
    url = url.strip().rstrip("/")
    try:
        parts = urlsplit(url)
        sound = not url or (parts.scheme in schemes and parts.hostname and (parts.port or 1))
    except ValueError:
        sound = False
    if not sound:
        raise UsageError(f"“{url}” is no address.", "It begins with https://")
    return url
