"""A small folder of images, and the labelling page around it."""

import pytest
from labelling import Page, write_pictures


@pytest.fixture
def photos(tmp_path):
    return write_pictures(tmp_path / "photos")


@pytest.fixture
def page(photos):
    page = Page(photos)
    yield page
    page.studio.close()
