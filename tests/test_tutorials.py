"Every tutorial runs from top to bottom, on a few small pictures instead of paintings and hours."
import nbformat
import pytest
from nbclient import NotebookClient
from PIL import Image

import sync
from artgan.demo import demo_art

tutorials = [p for p in sync.notebooks() if 'tutorials' in p.parts]


@pytest.mark.parametrize('path', tutorials, ids=lambda p: p.stem)
def test_tutorial(path, tmp_path, monkeypatch):
    (tmp_path/'art').mkdir()
    for i, picture in enumerate(demo_art(70, size=80)[0]): Image.fromarray(picture).save(tmp_path/'art'/f'Some_Artist{i % 3}_{i}.jpg')
    for name, value in dict(ARTGAN_DATA=tmp_path/'art', ARTGAN_EPOCHS=1, ARTGAN_MINUTES=0.03, ARTGAN_BATCH=16).items(): monkeypatch.setenv(name, str(value))
    NotebookClient(nbformat.read(path, as_version=4), timeout=300, resources={'metadata': {'path': str(tmp_path)}}).execute()
