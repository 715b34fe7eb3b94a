"""What travels with a job: the config's folder, never a secret, never what lies elsewhere."""

import pytest

from cluster.package import Package, packaged, runtime_environment
from operators.errors import ConfigError

TRAVELS = ("embed.yaml", "more/queries.jsonl", "environment.yaml", "monkey.txt")
STAYS = (
    *(".env", "prod.env", ".env.local", "tls/server.pem", "tls/server.KEY", "id_rsa", "id_ed25519"),
    *(".aws/credentials", "gcp-credentials-1.json", ".netrc", "auth_token", "secrets.yaml"),
    *("deep/down/.ssh/config", ".git/config", ".venv/bin/python", "out/vectors/part.parquet"),
    *("more/__pycache__/x.pyc", ".mypy_cache/x", "node_modules/x.js", "[1] #odd!.pem"),
)


@pytest.fixture
def folder(tmp_path):
    for name in (*TRAVELS, *STAYS):
        path = tmp_path / "project" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "diary.txt").write_text("x")
    (tmp_path / "project" / "a link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "project" / "notes").symlink_to(tmp_path / "elsewhere" / "diary.txt")
    return tmp_path / "project"


def test_files_travel_but_no_secret_no_output_and_no_link_to_another_folder(folder):
    """Packed by Ray itself from the patterns it is given."""
    from zipfile import ZipFile

    from ray._private.runtime_env.packaging import create_package

    package = packaged(str(folder / "embed.yaml"), "")
    target = folder.parent / "package.zip"
    create_package(str(folder), target, include_gitignore=True, excludes=package.excludes())
    assert set(ZipFile(target).namelist()) == set(TRAVELS)


def test_the_largest_files_that_travel_are_told(folder):
    (folder / "more" / "big.bin").write_bytes(b"0" * 5000)
    (folder / "out" / "bigger.bin").write_bytes(b"0" * 6000)
    told = Package(folder, "embed.yaml").largest()
    assert told[0] == "more/big.bin (5,000 bytes)"
    assert len(told) == 3


def test_a_config_travels_in_the_folder_that_is_named(folder):
    package = packaged(str(folder / "more" / ".." / "embed.yaml"), str(folder.parent))
    assert (package.root, package.config) == (folder.parent, "project/embed.yaml")


def test_a_config_in_a_mounted_volume_travels_by_the_name_that_links_to_it(tmp_path):
    """Kubernetes mounts a ConfigMap as links to a folder whose name changes with each update."""
    (tmp_path / "..2026_11_22").mkdir()
    (tmp_path / "..2026_11_22" / "embed.yaml").write_text("x")
    (tmp_path / "..data").symlink_to("..2026_11_22")
    (tmp_path / "embed.yaml").symlink_to("..data/embed.yaml")
    package = packaged(str(tmp_path / "embed.yaml"), "")
    assert (package.root, package.config) == (tmp_path, "embed.yaml")
    assert not any("embed.yaml" in pattern for pattern in package.excludes())


@pytest.mark.parametrize(
    ("config", "working_dir", "phrase"),
    [
        ("embed.yaml", "more", "embed.yaml is not in it; the config travels within it"),
        ("embed.yaml", "nowhere", "there is no such folder"),
        ("out/embed.yaml", ".", "'out' is a name that never travels"),
    ],
)
def test_a_config_that_could_not_travel_is_refused(
    folder, monkeypatch, config, working_dir, phrase
):
    monkeypatch.chdir(folder)
    with pytest.raises(ConfigError, match=phrase):
        packaged(config, working_dir)


def test_a_runtime_environment_is_what_its_file_says(tmp_path):
    file = tmp_path / "env.yaml"
    file.write_text("pip: [polars==1.0]\nenv_vars: {TOKENIZERS_PARALLELISM: 'false'}\n")
    expected = {"pip": ["polars==1.0"], "env_vars": {"TOKENIZERS_PARALLELISM": "false"}}
    assert runtime_environment(str(file)) == expected
    assert runtime_environment("") == {}


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("env_vars: {AWS_SECRET_ACCESS_KEY: x}", "AWS_SECRET_ACCESS_KEY is a secret"),
        ("env_vars: {HF_TOKEN: x}", "give it to the cluster's pods instead"),
        ("env_vars: {COUNT: 3}", "COUNT: expected text, found 3"),
        ("env_vars: [A]", "expected names and values"),
        ("working_dir: .", "--working-dir names it"),
        ("image_uri: mill:1", "give the image to the cluster's nodes"),
        ("pipp: [x]", "no field 'pipp'"),
        ("pip: 3", "pip"),
        ("pip: ['--index-url https://me:pa55word@host/simple']", "a URI holds a password"),
        ("[]", "expected a mapping"),
        ("a: [", "cannot be read"),
    ],
)
def test_a_runtime_environment_with_a_secret_or_a_mistake_is_refused(tmp_path, text, phrase):
    file = tmp_path / "env.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        runtime_environment(str(file))
    assert phrase in str(caught.value)
    assert "pa55word" not in str(caught.value)


def test_every_mistake_of_a_runtime_environment_is_told_at_once(tmp_path):
    file = tmp_path / "env.yaml"
    file.write_text("env_vars: {A_TOKEN: x, B_PASSWORD: y, C: 3}\nworking_dir: .\n")
    with pytest.raises(ConfigError) as caught:
        runtime_environment(str(file))
    assert len(caught.value.mistakes) == 4
