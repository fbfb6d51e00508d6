"""The passwords that the first `docker compose up` makes: each container gets its own only, and they fit together."""

import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from taskandgo.settings import load
from tests.deploy.compose_files import ROOT, SETTINGS, services


def made(folder: Path) -> dict[str, str]:
    """What the script makes in a folder: content by path."""
    subprocess.run([ROOT / "deploy" / "docker" / "make-secrets", folder], check=True)
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_they_are_made_once_and_differ_from_installation_to_installation(tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    first = made(folders[0])
    assert made(folders[0]) == first
    other = made(folders[1])
    assert {name for name in first if first[name] == other[name]} == {"made"}


def test_what_a_half_made_set_left_is_made_anew(tmp_path: Path) -> None:
    first = made(tmp_path)
    (tmp_path / "made").unlink()
    again = made(tmp_path)
    assert again.keys() == first.keys()
    assert again["runner/broker_url"] != first["runner/broker_url"]


@pytest.mark.parametrize("name", SETTINGS)
def test_a_service_finds_all_it_needs_and_nothing_else(name: str, tmp_path: Path) -> None:
    files = {path.split("/")[1] for path in made(tmp_path) if path.startswith(f"{name}/")}
    wanted = {"broker_url", "store_url", "blob_secret"} & set(SETTINGS[name].model_fields)
    assert files == wanted
    settings = load(SETTINGS[name], _secrets_dir=tmp_path / name)
    assert wanted <= settings.model_fields_set
    (subpath,) = (volume["volume"]["subpath"] for volume in services()[name]["volumes"])
    assert subpath == name


def test_servers_and_services_were_told_the_same(tmp_path: Path) -> None:
    files = made(tmp_path)
    broker, store = urlsplit(files["runner/broker_url"]), urlsplit(files["ingest/store_url"])
    assert f"default_pass = {broker.password}\n" in files["rabbitmq/20-user.conf"]
    assert f"default_user = {broker.username}\n" in files["rabbitmq/20-user.conf"]
    assert files["postgres/password"] == store.password
    assert services()["postgres"]["environment"]["POSTGRES_USER"] == store.username
    assert {broker.hostname, store.hostname} <= services().keys()
    assert files["ingest/blob_secret"] == files["dispatcher/blob_secret"]
    assert len(store.password or "") >= 64
