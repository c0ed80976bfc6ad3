"""A small folder of images, and the labelling page around it."""

import shutil

import pytest
from labelling import Page, write_pictures


@pytest.fixture(scope="session")
def drawn(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("drawn"))


@pytest.fixture
def photos(tmp_path, drawn):
    return shutil.copytree(drawn, tmp_path / "photos")


@pytest.fixture
def page(photos):
    page = Page(photos)
    yield page
    page.studio.close()
