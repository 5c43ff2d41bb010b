"Everything at 128 and at 256 pixels, with the smallest networks."
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from artgan.check import check_images
from artgan.demo import demo_art
from artgan.explorer import breed, explore
from artgan.figures import plot_activations
from artgan.latents import activation_directions, strongest_directions
from artgan.live import Watch
from artgan.originality import nearest
from artgan.replays import replay
from artgan.results import plot_losses, score_run
from artgan.runs import sample_grids
from artgan.shapes import grid_pictures
from artgan.train import fit
from artgan.video import check_video, make_video
from artgan.walks import project, walk


@pytest.mark.parametrize('size', [128, 256])
def test_all_of_it(size, tmp_path, monkeypatch):
    pytest.importorskip('torch_fidelity', reason='the extra metrics is not installed')
    (tmp_path/'art').mkdir()
    for i, picture in enumerate(demo_art(40, size=size + 20)[0]): Image.fromarray(picture).save(tmp_path/'art'/f'{i}.png')
    assert len(check_images(tmp_path/'art', size, show=False).used) == 40
    live = Watch()
    monkeypatch.setattr('artgan.live.display', lambda *shown, **how: SimpleNamespace(update=lambda page: None))  # as in a notebook
    run = fit(tmp_path/'art', 1, size=size, callbacks=[live], recipe='cpu', batch_size=4, width=4, latent_size=8, device='cpu', hold_out=0.5, score_every=0, show=False)
    n, grid = sample_grids(run)[-1]
    side = round(grid_pictures(size)**0.5)
    assert n == 1 and Image.open(grid).size == (side*(size + 2) + 2,)*2 and grid.stat().st_size < 12e6, 'a sensible file'
    assert run.generate(2).shape == (2, size, size, 3)
    check_video(make_video(run, tmp_path/'film.webm', width=200), 2, (200, 200))
    assert 'after epoch 1, the first 16' in live.view.still() and replay(run).grids
    monkeypatch.setattr('artgan.latents.activation_directions', partial(activation_directions, samples=16))  # a thousand pictures of 256 pixels take most of a minute
    monkeypatch.setattr('artgan.latents.strongest_directions', partial(strongest_directions, n=1))
    explorer = explore(run)
    explorer.random.click()
    assert explorer.picture.shape == breed(run).generator(1)[0].shape == (size, size, 3) and plot_activations(run, n=2)
    monkeypatch.setattr('artgan.walks._candidates', 4)
    assert project(run, explorer.picture, steps=2, tries=1).latent.shape == (1, 8, 1, 1)
    assert len(nearest(run, run.generate(3), features='pixels').distances) == 3
    assert walk(run, [0, 1], seconds=0.2, fps=10, out=tmp_path/'walk.gif').path.exists()
    score = score_run(run, n=10, device='cpu')
    assert np.isfinite([score.kid, score.frechet]).all() and plot_losses(run)
