"""Fixtures: a small native model, photos and an identity."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

import native_model  # noqa: E402
import omniid  # noqa: E402

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def model_path(tmp_path_factory):
    return native_model.write(tmp_path_factory.mktemp("model") / "model.safetensors")


@pytest.fixture(scope="session")
def engine(model_path):
    return omniid.Engine.open(model_path)


@pytest.fixture(scope="session")
def photos():
    return [native_model.picture(seed) for seed in range(3)]


@pytest.fixture(scope="session")
def identity(engine, photos):
    return engine.encode(photos[:2], label="Anna").identity


@pytest.fixture(scope="session")
def photo_files():
    """JPEG files of the repository's rendered people."""
    return sorted((ROOT / "examples" / "photos" / "person-1").glob("*.jpg"))[:3]
