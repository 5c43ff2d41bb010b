"Every tutorial runs from top to bottom, on a few small pictures instead of paintings and hours."
import sys
from unittest.mock import patch

import matplotlib
import pytest
from execnb.nbio import read_nb
from execnb.shell import CaptureShell
from IPython.core.interactiveshell import InteractiveShell
from PIL import Image

import sync
from artgan.augment import AUGMENTATIONS
from artgan.demo import demo_art
from artgan.losses import LOSSES
from artgan.models import NETWORKS

tutorials = [p for p in sync.notebooks() if 'tutorials' in p.parts]

# what is said in a tutorial, and what is less of the same
SHORTER = {
    'by_artist': [("how = dict(batch_size=BATCH, recipe='cpu'", "how = dict(batch_size=BATCH, width=16, recipe='cpu'"), ("EPOCHS or 150, labels='artist', out", "EPOCHS or 150, labels='artist', least=1, out"), ("EPOCHS or 20, labels='artist'", "EPOCHS or 20, labels='artist', least=1"),
                  ("EPOCHS or 36, labels='artist'", "EPOCHS or 36, labels='artist', least=1"),
                  ('alone = dict(batch_size=BATCH', 'alone = dict(width=16, batch_size=8'), ('zip(axes, ways.items())', 'zip(axes, [*ways.items()][:1])'), ('> 200 else 50', '> 200 else 20')],
    'best_artworks': [('bench(seconds=60', 'bench(size=32, seconds=0.1'), ('N = min(2000', 'N = min(20'), ('N, features = min(2000', 'N, features = min(20'), ("{'the same rate': 0.0002, 'a third': 0.0002/3, 'a tenth': 0.00002}", "{'a third': 0.0002/3}")],
    'explore': [('found = project(RUN, ', 'found = project(RUN, steps=3, tries=1, picture=')],
    'few_pictures': [('[(200, 42), (500, 42), (500, 43), (2000, 42)]', '[(500, 42)]')],
    'larger': [('demo_art(400, size=256', 'demo_art(16, size=256'), ('generate(first, 400', 'generate(first, 12'), ('generate(middle, 400', 'generate(middle, 12'), ('generate(huge, 400', 'generate(huge, 12'),
               ("short = fit(DATA, **length(20), size=64, out='runs/larger/64-short', **how)", 'short = small')],
    'shapes': [('batch_size=BATCH, hold_out=0.1', 'batch_size=BATCH, hold_out=0.2'), ('(len(pictures), 0.1)', '(len(pictures), 0.2)'), ('demo_sprites(2000)', 'demo_sprites(66)')],
    'speed': [('SECONDS, SIZES = 15, (32, 64, 128, 256)', 'SECONDS, SIZES = 1, ()'), ('COUNTS = 1_000, 10_000, 100_000', 'COUNTS = 40,'),
              ('times = process(opening), process(opening)', "times = process(opening), '-'")],
    'what_helps': [('for name in TWICE]', 'for name in TWICE[:1]]'), ('else DATA, size=64)', 'else DATA, size=32)')],
    'your_own': [("latent_size=32, width=16", "latent_size=32, width=8"), ("fit(art, 6, out=runs/'grey'", "fit(art, 2, out=runs/'grey'"), ('fit(art, 30, ', 'fit(art, 2, ')]}


@pytest.mark.parametrize('path', tutorials, ids=lambda p: p.stem)
def test_tutorial(path, tmp_path, monkeypatch):
    (tmp_path/'art').mkdir()
    for i, picture in enumerate(demo_art(66, size=80)[0]): Image.fromarray(picture).save(tmp_path/'art'/f'Some_Artist{i % 3}_{i}.jpg')
    for name, value in dict(DATA=tmp_path/'art', EPOCHS=1, MINUTES=0.03, BATCH=16, ROUNDS=1).items(): monkeypatch.setenv(f'ARTGAN_{name}', str(value))
    nb = read_nb(path)
    for long, short in SHORTER.get(path.stem, []):
        cell, = (c for c in nb.cells if c.cell_type == 'code' and long in c.source)
        cell.source = cell.source.replace(long, short)
    monkeypatch.setattr('artgan.walks._candidates', 20)
    monkeypatch.setattr(InteractiveShell, '_instance', InteractiveShell._instance)  # no later test is to be in a notebook
    monkeypatch.setitem(sys.modules, '__main__', sys.modules['__main__'])
    with patch.dict(AUGMENTATIONS), patch.dict(LOSSES), patch.dict(NETWORKS):  # a tutorial adds its own
        CaptureShell(tmp_path).run_all(nb, exc_stop=True)  # in this process, as nbdev_test does: a kernel of its own loads torch for seconds
    matplotlib.use('Agg')
