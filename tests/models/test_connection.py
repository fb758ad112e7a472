"""How the puller is told to connect: policy before the person, the token for its own hub alone."""

from pathlib import Path
from typing import Any

import pytest

from localai_app.errors import UsageError
from localai_app.governance.policy import Policy
from localai_app.models.connection import HUGGING_FACE, Connection
from localai_app.store.database import Database
from localai_app.store.settings import Settings


class Keystore(dict[tuple[str, str], str]):
    """A keystore in memory."""

    def get_password(self, service: str, username: str, /) -> str | None:
        return self.get((service, username))

    def set_password(self, service: str, username: str, password: str, /) -> None:
        self[service, username] = password

    def delete_password(self, service: str, username: str, /) -> None:
        del self[service, username]


def connection(
    database: Database, keystore: Keystore | None = None, environment: Any = None, **policy: Any
) -> Connection:
    return Connection(
        Settings(database),
        Policy(policy),
        find_keystore=lambda: keystore,
        environment=environment or {},
    )


def test_what_is_recommended_counts_until_the_person_chooses(database: Database) -> None:
    class Recommending(Policy):
        def recommended(self, name: str) -> Any:
            return {"ModelSourceURL": "https://hub.corp.example/", "ProxyURL": "http://proxy.example"}[name]

    theirs = Connection(Settings(database), Recommending(), find_keystore=lambda: None, environment={})
    assert (theirs.endpoint, theirs.proxy) == ("https://hub.corp.example", "http://proxy.example")
    theirs.set_endpoint("https://mine.example")
    theirs.set_proxy("http://mine.example")
    assert (theirs.endpoint, theirs.proxy) == ("https://mine.example", "http://mine.example")


def test_by_default_models_come_from_hugging_face_alone(database: Database) -> None:
    told = connection(database).configure()
    assert (told.endpoint, told.token, told.proxy, told.ca_bundle) == (HUGGING_FACE, "", "", "")
    assert set(told.hosts) == {"huggingface.co", "*.huggingface.co", "hf.co", "*.hf.co"}


def test_mirror_of_the_organisation_goes_before_the_persons(database: Database) -> None:
    connection(database).set_endpoint("https://mine.example/")
    assert connection(database).endpoint == "https://mine.example"
    theirs = connection(
        database,
        ModelSourceURL="https://hub.corp.example/",
        AllowHuggingFace=False,
        ProxyURL="http://proxy.corp.example:3128",
        CABundle="/etc/corp.pem",
    )
    theirs.set_proxy("http://mine.example")
    told = theirs.configure()
    assert (told.endpoint, told.hosts) == ("https://hub.corp.example", ("hub.corp.example",))
    assert (told.proxy, told.ca_bundle) == ("http://proxy.corp.example:3128", "/etc/corp.pem")


def test_proxy_is_the_persons_else_the_environments(database: Database) -> None:
    one = connection(database, environment={"HTTPS_PROXY": "http://env.example:8080"})
    assert one.proxy == "http://env.example:8080"
    one.set_proxy("http://mine.example:1")
    assert one.proxy == "http://mine.example:1"
    one.set_proxy("")
    assert one.proxy == "http://env.example:8080"


@pytest.mark.parametrize("keystore", [None, Keystore()])
def test_token_is_kept_and_forgotten(database: Database, keystore: Keystore | None, tmp_path: Path) -> None:
    one = connection(database, keystore)
    one.set_token(" hf_abc ")
    assert one.has_token
    assert one.configure().token == "hf_abc"
    if keystore is not None:
        assert list(keystore.values()) == ["hf_abc"]
        assert Settings(database).get("hub.token") is None
    one.set_token("")
    assert not one.has_token
    assert not keystore


def test_token_is_for_the_hub_it_was_entered_at(database: Database) -> None:
    one = connection(database)
    one.set_token("hf_abc")
    one.set_endpoint("https://mirror.example")
    assert one.configure().token == ""
    one.set_endpoint("")
    assert one.configure().token == "hf_abc"


@pytest.mark.parametrize("url", ["mirror", "ftp://x", "https://", "https://x:port", "file:///etc/passwd"])
def test_what_is_no_address_is_refused(database: Database, url: str) -> None:
    with pytest.raises(UsageError):
        connection(database).set_endpoint(url)


@pytest.mark.parametrize("token", ["two words", "ümlaut", "x" * 600, "a\nb"])
def test_what_is_no_token_is_refused(database: Database, token: str) -> None:
    with pytest.raises(UsageError):
        connection(database).set_token(token)
