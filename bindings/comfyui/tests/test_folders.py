"""Which folders photos may come from: whoever can queue a prompt must not look around on the server's disk."""

import os
import shutil
import sys

import pytest
from conftest import ROOT

ATTACKS = [
    "/",
    "/etc",
    "//server/share",
    "..",
    "../secret",
    "anna/../../secret",
    "anna/..",
    "./..",
    ".. /secret",
    ".../secret",
    "..\\secret",
    "anna\\..\\..\\secret",
    "C:\\photos",
    "c:/photos",
    "C:photos",
    "\\\\server\\share",
    "\\\\?\\C:\\photos",
    "anna:stream",
    "anna\0",
    "\0/etc",
    "anna/\n..",
    "%2e%2e/secret",
    "..%2fsecret",
    "%2fetc",
    "~",
    "~root",
    "link-out",
    "anna/link-out",
    "link-up/secret",
    "file:///etc",
    "anna//../../secret",
    "",
    " ",
    ".",
]


@pytest.fixture(scope="module")
def places(comfy, pack):
    photo = next((ROOT / "examples" / "photos" / "person-1").glob("*.jpg"))
    base, secret = comfy.folder / "input", comfy.folder / "secret"
    for folder in (
        base / "people" / "anna",
        secret,
        comfy.folder / "listed" / "ben",
        comfy.folder / "from-env" / "cem",
    ):
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(photo, folder / "1.jpg")
    if sys.platform != "win32":
        (base / "link-out").symlink_to(secret)
        (base / "people" / "link-out").symlink_to(secret)
        (base / "link-up").symlink_to(comfy.folder)
        (base / "link-in").symlink_to(base / "people" / "anna")
        (base / "people" / "anna" / "2.jpg").symlink_to(secret / "1.jpg")
    from omniid_pack import folders

    return folders


@pytest.mark.parametrize("attack", ATTACKS)
def test_nothing_outside_is_reached(attack, places, comfy, pack):
    with pytest.raises(NotADirectoryError) as refusal:
        places.photos_in(attack)
    assert str(comfy.folder) not in str(refusal.value), "nothing of the disk is told"
    for name in ("OmniIDEncodePhotos", "OmniIDExtendIdentity", "OmniIDPhotoEmbeds"):
        node = pack.NODE_CLASS_MAPPINGS[name]
        if attack.strip():
            assert "there is no folder" in node.VALIDATE_INPUTS(folder=attack)
            with pytest.raises(NotADirectoryError):
                node.IS_CHANGED(folder=attack)


def test_what_exists_and_what_does_not_look_the_same(places, comfy):
    def answer(folder):
        with pytest.raises(NotADirectoryError) as refusal:
            places.photos_in(folder)
        return str(refusal.value).replace(repr(folder), "it")

    assert answer("../secret") == answer("../nowhere") == answer("/etc") == answer("/nowhere") == answer("nowhere")


def test_folders_below_input_are(places, comfy):
    anna = comfy.folder / "input" / "people" / "anna"
    # A photo that is a link to somewhere else stays out.
    assert places.photos_in("people/anna") == [str(anna / "1.jpg")]
    assert places.photos_in("people/anna/") == [str(anna / "1.jpg")]
    assert places.photos_in("people\\anna") == [str(anna / "1.jpg")]
    if sys.platform != "win32":
        assert places.photos_in("link-in") == [str(comfy.folder / "input" / "link-in" / "1.jpg")]


def test_so_are_folders_that_the_user_has_listed(places, comfy, monkeypatch):
    folder_paths = sys.modules["folder_paths"]
    for name in ("ben", "cem"):
        with pytest.raises(NotADirectoryError):
            places.photos_in(name)
    # As extra_model_paths.yaml does it.
    known = folder_paths.folder_names_and_paths["omniid_photos"]
    assert known[0] == []
    monkeypatch.setitem(
        folder_paths.folder_names_and_paths, "omniid_photos", ([str(comfy.folder / "listed")], known[1])
    )
    assert places.photos_in("ben") == [str(comfy.folder / "listed" / "ben" / "1.jpg")]
    monkeypatch.setenv("OMNIID_PHOTO_FOLDERS", os.pathsep.join(["/nowhere", str(comfy.folder / "from-env")]))
    assert places.photos_in("cem") == [str(comfy.folder / "from-env" / "cem" / "1.jpg")]
    with pytest.raises(NotADirectoryError):
        places.photos_in("../secret")
