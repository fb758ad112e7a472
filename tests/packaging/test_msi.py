"""The Windows package: what it names, and that the same files always make the same one."""

import struct
from pathlib import Path
from xml.etree import ElementTree

import pytest

from localai_app.governance.policy_schema import BY_NAME, Kind
from tests.packaging.scripts import ROOT
from tests.packaging.windows_scripts import cross_bundle, make_icon, make_msi, wine

WIX = f"{{{make_msi.SCHEMA}}}"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    folder = tmp_path / "bundle"
    (folder / "_internal" / "engine").mkdir(parents=True)
    for name in ("localai-app.exe", "_internal/python.dll", "_internal/engine/llama.dll"):
        (folder / name).write_text(name)
    return folder


def test_every_file_is_a_component_below_its_folders(bundle: Path) -> None:
    root = ElementTree.fromstring(make_msi.file_list({"AppFiles": bundle}))
    files = root.findall(f".//{WIX}File")
    assert [Path(file.attrib["Source"]).name for file in files] == [
        "llama.dll",
        "python.dll",
        "localai-app.exe",
    ]
    assert all(file.attrib["KeyPath"] == "yes" for file in files)
    target = root.find(f".//{WIX}DirectoryRef")
    assert target is not None
    assert target.attrib["Id"] == "INSTALLDIR"
    deepest = target.find(f"{WIX}Directory[@Name='_internal']/{WIX}Directory[@Name='engine']/{WIX}Component")
    assert deepest is not None
    named = {reference.attrib["Id"] for reference in root.iter(f"{WIX}ComponentRef")}
    assert named == {component.attrib["Id"] for component in root.iter(f"{WIX}Component")}


def test_a_component_keeps_its_identity_wherever_the_files_lie_when_it_is_built(bundle: Path) -> None:
    before = identities(make_msi.file_list({"AppFiles": bundle}))
    (bundle / "localai-app.exe").write_text("another version")
    moved = bundle.rename(bundle.with_name("elsewhere"))
    assert identities(make_msi.file_list({"AppFiles": moved})) == before
    assert len(set(before)) == 3


def identities(fragment: bytes) -> list[str]:
    return [one.attrib["Guid"] for one in ElementTree.fromstring(fragment).iter(f"{WIX}Component")]


def test_the_models_are_components_of_their_own(bundle: Path) -> None:
    both = identities(make_msi.file_list({"AppFiles": bundle, "ModelFiles": bundle}))
    assert len(set(both)) == 6


def test_conditions_are_handed_over_to_what_can_write_them() -> None:
    product, conditions = make_msi.without_conditions(make_msi.SOURCE)
    assert set(conditions) == {"OfflineOnly", "Desktop"}
    assert all("'" not in condition for condition in conditions.values())
    assert b"<?if $(var.Models) = yes ?>" in product
    root = ElementTree.fromstring(product)
    assert not root.findall(f".//{WIX}Component/{WIX}Condition")
    assert root.findall(f"{WIX}Product/{WIX}Condition")


def test_the_policy_that_a_property_writes_is_one_that_the_app_reads() -> None:
    root = ElementTree.parse(make_msi.SOURCE).getroot()
    written = [
        value
        for value in root.iter(f"{WIX}RegistryValue")
        if value.attrib["Key"].startswith("SOFTWARE\\Policies")
    ]
    assert [(value.attrib["Name"], value.attrib["Type"]) for value in written] == [("OfflineOnly", "integer")]
    assert BY_NAME["OfflineOnly"].kind is Kind.BOOL
    assert written[0].attrib["Key"] == r"SOFTWARE\Policies\LocalAIApp"


def test_what_the_command_line_may_say_is_let_through_to_the_elevated_part() -> None:
    root = ElementTree.parse(make_msi.SOURCE).getroot()
    secure = {one.attrib["Id"] for one in root.iter(f"{WIX}Property") if one.attrib.get("Secure") == "yes"}
    assert secure
    assert secure | {"INSTALLDIR"} <= set(make_msi.PROPERTIES.split(";"))


def test_the_template_that_is_installed_is_there() -> None:
    root = ElementTree.parse(make_msi.SOURCE).getroot()
    sources = [one.attrib["Source"].removeprefix("$(var.Policy)/") for one in root.iter(f"{WIX}File")]
    assert sources
    assert all((make_msi.POLICY / source).is_file() for source in sources)


def test_only_the_binding_is_left_out_of_the_lock() -> None:
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    left = cross_bundle.without_binding(lock)
    assert "llama-cpp-python==" not in left
    pinned = [line for line in lock.splitlines() if "==" in line and not line.startswith((" ", "#"))]
    kept = [line for line in left.splitlines() if "==" in line and not line.startswith((" ", "#"))]
    assert kept == [line for line in pinned if not line.startswith("llama-cpp-python==")]
    gone = sum(line.startswith("    --hash") for line in lock.splitlines()) - sum(
        line.startswith("    --hash") for line in left.splitlines()
    )
    assert gone == 1


def test_the_icon_has_every_size_and_is_always_the_same(tmp_path: Path) -> None:
    made = [tmp_path / name / "app.ico" for name in "ab"]
    for path in made:
        make_icon.make_icon(path)
    content = made[0].read_bytes()
    assert content == made[1].read_bytes()
    _, kind, count = struct.unpack_from("<HHH", content)
    assert (kind, count) == (1, len(make_icon.SIZES))
    widths = {content[6 + 16 * number] or 256 for number in range(count)}
    assert widths == set(make_icon.SIZES)


def test_a_path_here_is_one_on_wines_disk() -> None:
    assert wine.windows_path(Path("/data/a b/c")) == r"Z:\data\a b\c"
