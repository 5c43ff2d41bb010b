"Odd values for every argument of what a person calls: each is taken as a plain value, or refused with a sentence before work starts."
import inspect
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings, strategies as st
from PIL import Image

import artgan
import artgan.train
from artgan.check import check_images
from artgan.core import InputError
from artgan.data import Batches, load_images, split_indices
from artgan.demo import demo_art
from artgan.recipes import Recipe
from artgan.train import fit
from artgan.points import draw_latents
from artgan.weights import generate

plain = [None, True, False, '', '3', '0.1', 'x', 'cuda:99', 'meta', b'x', (), [], [1], {}, {'x': 1}, (0., .9), (1, 2, 3), np.int64(3), np.float32(.5),
         np.float16(7), np.bool_(True), np.array([1, 2]), torch.tensor(3), object(), Path('nowhere'), 1j, float('nan'), float('inf'), -1, 0, 2**70]
odd = st.one_of(st.sampled_from(plain), st.integers(-3, 40), st.floats(-3, 3), st.text(max_size=3))
larger = [np.array(['a', 'b']), torch.tensor([1, 2]), 10**400, 2**31, 2**31 - 1, 20_000, 1e30]
tries = dict(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])


def taken_or_refused(call, *args, **kwargs):
    "Anything but an InputError goes on its way"
    try: return call(*args, **kwargs)
    except InputError as e: assert len(str(e)) > 10


@pytest.fixture
def no_run(monkeypatch):
    "`fit` up to the moment at which it would open its folder"
    monkeypatch.setattr(artgan.train, '_run', lambda run, *rest: run.config)


words = [*(n for n, p in inspect.signature(fit).parameters.items() if p.kind is not p.VAR_KEYWORD), *(f.name for f in fields(Recipe))]


@pytest.mark.parametrize('word', words)
def test_fit_with_each_of_them(art, no_run, word):
    for value in plain + larger:
        taken_or_refused(fit, **{**dict(data=art, recipe='cpu', out='run', batch_size=8, latent_size=8, width=4, device='cpu', show=False), word: value})


@settings(max_examples=200, **tries)
@given(st.sampled_from(words), odd, st.sampled_from(['cpu', 'classic']))
def test_fit(art, no_run, word, value, recipe):
    given = dict(data=art, recipe=recipe, out='run', batch_size=8, latent_size=8, width=4, device='cpu', show=False)
    taken_or_refused(fit, **{**given, word: value})


def calls(run):
    "What a person calls, and the arguments tried"
    return [(generate, dict(run=run, n=2, seed=1, batch_size=2, device='cpu')), (draw_latents, dict(n=2, latent_size=8, seed=1)), (demo_art, dict(n=2, size=32, seed=1)),
            (split_indices, dict(n=20, fraction=0.1, seed=1)), (Batches, dict(images=run.pictures, batch_size=4, shuffle=True, seed=1)),
            (load_images, dict(src='folder', size=16, crop='center', workers=1, show=False)), (check_images, dict(src='folder', show=False)),
            (artgan.make_video, dict(run=run, fps=5, width=32)), (artgan.walk, dict(run=run, seeds=[1, 2], seconds=0.2, fps=5, pixels=32)),
            (artgan.nearest, dict(run=run, pictures=run.pictures[:2], data=run.pictures, device='cpu')), (artgan.plot_losses, dict(run=run))]


@pytest.fixture
def run(art, tiny):
    Path('folder').mkdir()
    for i in range(3): Image.fromarray(art[i]).save(f'folder/{i}.png')
    run = fit(art, 1, out='run', **tiny)
    run.pictures = art
    return run


@settings(max_examples=300, **tries)
@given(st.data(), odd)
def test_everything_else(run, data, value):
    call, given = data.draw(st.sampled_from(calls(run)), label='call')
    names = [n for n in inspect.signature(call).parameters if n in given]
    assert len(names) == len(given), f'{call.__name__} has other parameters: {[*inspect.signature(call).parameters]}'
    word = data.draw(st.sampled_from(names), label='word')
    if isinstance(value, int) and word in ('n', 'size', 'pixels', 'width', 'fps') and not isinstance(value, bool) and 64 < value < 2**40: return
    taken_or_refused(call, **{**given, word: value})
