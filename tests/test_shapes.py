"Pictures that are no squares, and squares that are no power of two, from the array to everything that follows a run"
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import artgan
from artgan.cli import main
from artgan.core import InputError
from artgan.data import load_images, to_float
from artgan.demo import demo_art
from artgan.explorer import breed, explore
from artgan.figures import plot_activations, plot_latent_scaling, plot_layers, plot_logits
from artgan.features import extract_features, unit_rows
from artgan.models import NETWORKS
from artgan.originality import nearest
from artgan.recipes import RECIPES
from artgan.replays import replay
from artgan.results import Run
from artgan.runs import read_about
from artgan.train import fit
from artgan.video import check_video
from artgan.walks import project, walk
from artgan.weights import generate, load_discriminator, read_safetensors, save_half

TINY = dict(batch_size=8, latent_size=8, width=4, device='cpu', show=False, score_every=0)


@pytest.fixture(scope='module')
def art(): return demo_art(40, size=(48, 32))[0]


@pytest.fixture(scope='module')
def upright(art, tmp_path_factory):
    "Two epochs on upright pictures, a quarter held out"
    return fit(art, 2, out=tmp_path_factory.mktemp('upright')/'run', hold_out=0.25, **TINY)


def test_the_run_folder_knows_its_shape(upright, art):
    config = json.loads((upright.path/'config.json').read_text())['config']
    assert config['size'] == [48, 32] and read_safetensors(upright.path/'G.safetensors')[1]['size'] == [48, 32]
    with Image.open(upright.path/'samples.png') as grid: assert grid.size == (8*(32 + 2) + 2, 8*(48 + 2) + 2)
    for source in (upright, upright.path/'G.safetensors', Run.load(upright.path), save_half(upright, upright.path.parent/'half.safetensors')):
        assert generate(source, 3, device='cpu').shape == (3, 48, 32, 3)
    assert load_discriminator(upright)(torch.zeros(2, 3, 48, 32)).shape == (2, 1)


def test_it_goes_on_and_is_the_same_as_without_the_pause(upright, art, tmp_path):
    whole = fit(art, 3, out=tmp_path/'whole', hold_out=0.25, **TINY)
    fit(art, 2, out=tmp_path/'parts', hold_out=0.25, **TINY)
    parts = fit(art, 3, out=tmp_path/'parts', hold_out=0.25, **TINY)
    assert np.array_equal(whole.losses_g, parts.losses_g) and np.array_equal(parts.losses_g[:len(upright.losses_g)], upright.losses_g)
    with pytest.raises(InputError, match=r'size: \[48, 32\] there, \[32, 48\] now'): fit(art.transpose(0, 2, 1, 3), 3, out=tmp_path/'parts', hold_out=0.25, **TINY)


def test_what_follows_a_run_keeps_the_shape(upright, art, tmp_path, monkeypatch):
    monkeypatch.setattr('artgan.walks.metrics_available', bool)  # features of a thousand pictures take half a minute
    check_video(upright.make_video(tmp_path/'grids.webm'), 3, (274, 402))
    explorer = explore(upright, device='cpu')
    explorer.sliders[0].value = 2.
    explorer.pixels.value = 256
    explorer._on_keep()
    with Image.open(explorer.kept[0]) as kept: assert kept.size == (171, 256)
    assert explorer.picture.shape == (48, 32, 3) and explorer.sheet().size == (213, 320) and (explorer.image.width, explorer.image.height) == ('213', '320')
    breeder = breed(upright, device='cpu')
    breeder.choices[0].value = True
    breeder._on_next()
    assert breeder.sheet().size == (288, 432)
    film = walk(upright, [0, 1], 0.5, 8, pixels=100, out=tmp_path/'walk.webm', device='cpu')
    check_video(film.path, len(film.latents), (66, 100))
    with Image.open(film.strip) as strip: assert strip.size == (12*32, 48)
    monkeypatch.setattr('artgan.walks._candidates', 20)
    found = project(upright, art[0], steps=2, tries=2, device='cpu')
    assert found.picture.shape == found.target.shape == (48, 32, 3) and np.array_equal(found.target, art[0])
    assert nearest(upright, generate(upright, 16, device='cpu'), art, features='pixels', device='cpu').nearest.shape == (16, 48, 32, 3)
    assert replay(upright).sheet().width >= 420
    for figure in (plot_layers(upright, channels=2), plot_latent_scaling(upright, (0, 1), (0.5, 1.)), plot_logits(upright, art, n=8), plot_activations(upright, n=8)): assert figure.axes
    assert upright.show_samples().axes


def test_a_run_of_any_shape_is_scored(upright, art):
    pytest.importorskip('torch_fidelity')
    result = upright.score(art, n=20, device='cpu')
    assert result.n == 20 and result.kid > result.baseline.kid and result.colour > result.baseline.colour


def test_metrics_see_the_whole_picture(art):
    "Nothing is cut off: it is what the network would see of the picture bent into a square, and the first rows count"
    pytest.importorskip('torch_fidelity')
    bent = torch.nn.functional.interpolate(to_float(torch.from_numpy(art[:8])), (128, 128), mode='bilinear')
    framed = art[:8].copy()
    framed[:, :6], framed[:, -6:] = 255, 0
    whole, by_hand, other = (unit_rows(extract_features(x, device='cpu')) for x in (art[:8], bent, framed))
    alike, apart = (whole*by_hand).sum(1), (whole*other).sum(1)  # by hand it is rounded to bytes once more
    assert alike.median() > 0.99 and (alike > apart).all() and apart.median() < 0.9


@pytest.mark.parametrize('network', [n for n in NETWORKS if n != 'dcgan'])
def test_every_pair_takes_every_shape(network):
    "A step at each; grey pictures of 28 by 28, as they come"
    recipe = dict(network=network, loss='hinge', reuse_fakes=True)
    for array in (np.zeros((8, 28, 28), np.uint8), np.zeros((8, 64, 48, 3), np.uint8), np.zeros((8, 20, 32, 3), np.uint8)):
        out = Path('run')/f'{array.shape[1]}'
        channels = array.shape[3] if array.ndim == 4 else 1
        assert generate(fit(array, 1, recipe=recipe, out=out, **TINY), 2, device='cpu').shape == (2, *array.shape[1:3], channels)


def test_a_square_is_a_square_however_it_is_said():
    art = demo_art(16, size=32)[0]
    runs = [fit([*art], 1, size=size, out=f'run{i}', **TINY) for i, size in enumerate((32, (32, 32), np.array([32, 32])))]
    assert all(np.array_equal(r.losses_g, runs[0].losses_g) for r in runs) and all(json.loads((r.path/'config.json').read_text())['config']['size'] == 32 for r in runs)


@pytest.mark.parametrize('size, words', [(50, '48 and 56'), ((218, 178), r'\(224, 192\) and'), ((96, 64, 3), 'a pair'), ('96x64', 'whole number'), ((0, 64), 'the height in size is 0'), (True, 'whole number')])
def test_what_cannot_be_built_is_refused_with_what_can(size, words):
    with pytest.raises(InputError, match=words): fit([*np.zeros((8, 40, 40, 3), np.uint8)], 1, size=size, out='run', **TINY)
    assert not Path('run').exists()


def test_the_articles_networks_say_what_they_are_for():
    for size in (48, (64, 32)):
        with pytest.raises(InputError, match="the article's networks, 'dcgan', are for squares of 32, 64, 128, 256"): fit('art', 1, size=size, recipe='classic', out='run', **TINY)


def test_the_command_line(capsys):
    Path('art').mkdir()
    for i, a in enumerate(demo_art(12, size=(90, 60))[0]): Image.fromarray(a).save(f'art/{i}.png')
    assert main('check art --size 32'.split()) == 0 and 'size=(48, 32) keeps 100% of each, 32 keeps 67%' in capsys.readouterr().out
    for size in ('48x32', '48,32'):
        assert main(f'train art --size {size} --epochs 1 --batch-size 8 --latent-size 8 --width 4 --device cpu --score-every 0'.split()) == 0
    assert 'has its 1 epochs already' in capsys.readouterr().out and json.loads(Path('runs/art/config.json').read_text())['config']['size'] == [48, 32]
    assert main('generate runs/art -n 2 --device cpu --out made'.split()) == 0
    assert {Image.open(p).size for p in Path('made').iterdir()} == {(32, 48)}
    with pytest.raises(SystemExit): main('train art --size 48x'.split())
    assert '96x64, height first' in capsys.readouterr().err


def test_the_cache_keeps_shapes_apart():
    Path('art').mkdir()
    for i, a in enumerate(demo_art(6, size=96)[0]): Image.fromarray(a).save(f'art/{i}.png')
    sets = [load_images('art', size, show=False) for size in ((48, 32), (32, 48), 48, (48, 32))]
    assert [s.images.shape[1:3] for s in sets] == [(48, 32), (32, 48), (48, 48), (48, 32)] and sets[0].fingerprint == sets[3].fingerprint
    assert np.array_equal(sets[0].images, sets[2].images[:, :, 8:40]) and len(artgan.data.list_cache()) == 3


def test_a_start_brings_its_networks_whatever_the_recipe_has(tiny, tmp_path):
    "The article's pair, which is square, need not be able to paint what the networks of the start do"
    upright = demo_art(20, size=32)[0][:, :, :24].copy()
    with pytest.raises(InputError, match='dcgan'): fit(upright, 1, out=tmp_path/'new', recipe='classic', **tiny)
    run = fit(upright, 1, out=tmp_path/'first', recipe='cpu', score_every=0, **tiny)
    again = fit(upright, 1, out=tmp_path/'again', recipe='classic', start=run, score_every=0, **tiny)
    config = read_about(again)['config']
    assert (config['network'], config['loss']) == (RECIPES['cpu'].network, RECIPES['classic'].loss) and generate(again, 1).shape == (1, 32, 24, 3)
