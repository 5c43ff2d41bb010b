"Runs on pictures with transparency, and on grey ones, from the file to what is shown."
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from artgan.check import check_images
from artgan.cli import main
from artgan.core import InputError
from artgan.data import load_images, to_float
from artgan.demo import demo_sprites
from artgan.explorer import breed, explore
from artgan.figures import plot_latent_scaling, plot_layers, plot_logits
from artgan.points import read_latent
from artgan.latents import LoadedGenerator, save_picture
from artgan.metrics import colour_distance
from artgan.originality import nearest
from artgan.runs import read_about
from artgan.train import fit
from artgan.walks import project, walk
from artgan.weights import generate, save_pictures

few = dict(batch_size=8, latent_size=8, width=4, device='cpu', show=False, score_every=0)


@pytest.fixture(scope='module')
def sprites(): return demo_sprites(24, 32)


@pytest.fixture(scope='module')
def folder(sprites, tmp_path_factory):
    folder = tmp_path_factory.mktemp('sprites')
    for i, s in enumerate(sprites): Image.fromarray(s).save(folder/f'{i:02d}.png')
    return folder


@pytest.fixture(scope='module')
def run(folder, tmp_path_factory):
    "Two epochs on the folder, with every augmentation"
    return fit(folder, 2, size=32, mode='RGBA', mirror=True, augment=('translate', 'colour', 'cutout'), out=tmp_path_factory.mktemp('run')/'run', **few)


def test_a_run_of_files_keeps_transparency(run, folder, sprites):
    config = read_about(run)['config']
    assert (config['mode'], config['channels']) == ('RGBA', 4)
    pictures = generate(run, 6, device='cpu')
    assert pictures.shape == (6, 32, 32, 4)
    for path, picture in zip(save_pictures(pictures, run.path/'pictures', run), pictures):
        with Image.open(path) as kept: assert kept.mode == 'RGBA' and np.array_equal(kept, picture)
    for grid in (run.path/'generated').iterdir():
        with Image.open(grid) as shown: assert shown.mode == 'RGB' and shown.size == (8*34 + 2,)*2
    with Image.open(grid) as shown: assert np.asarray(shown).max() > 200, 'the checkerboard'


def test_it_goes_on_without_being_told_the_mode(run, folder, tmp_path):
    copy = shutil.copytree(run.path, tmp_path/'run')
    changes = {**few, 'mirror': True, 'size': 32}
    again = fit(folder, 3, out=copy, augment=('translate', 'colour', 'cutout'), **changes)
    straight = fit(folder, 3, out=tmp_path/'straight', mode='RGBA', augment=('translate', 'colour', 'cutout'), **changes)
    assert again.epochs == 3 and all(torch.equal(a, b) for a, b in zip(again.generator.state_dict().values(), straight.generator.state_dict().values()))
    with pytest.raises(InputError, match="mode: 'RGBA' there, 'RGB' now"): fit(folder, 4, out=copy, mode='RGB', augment=('translate', 'colour', 'cutout'), **changes)


def test_what_is_invisible_is_not_learned(sprites, tmp_path):
    "Another colour where nothing is seen, and the weights are the same to the bit"
    other = sprites.copy()
    other[sprites[..., 3] == 0] = (255, 0, 255, 0)
    a, b = (fit(s, 1, out=tmp_path/name, **few) for name, s in dict(a=sprites, b=other).items())
    assert all(torch.equal(x, y) for x, y in zip(a.generator.state_dict().values(), b.generator.state_dict().values()))
    assert not np.array_equal(sprites, other) and torch.equal(to_float(torch.from_numpy(sprites)), to_float(torch.from_numpy(other)))


def test_arrays_batches_and_grey_come_as_they_are(sprites, tmp_path):
    straight = torch.from_numpy(sprites).permute(0, 3, 1, 2)/127.5 - 1
    for name, data in dict(array=sprites, tensor=straight, items=[*sprites], batches=[(x, 0) for x in straight.split(8)]).items():
        assert fit(data, 1, out=tmp_path/name, **few).generator(torch.zeros(2, 8, 1, 1)).shape[1] == 4, name
    first = [torch.load(tmp_path/name/'G.pth', weights_only=True) for name in ('array', 'tensor', 'items')]
    assert all(torch.equal(first[0][k], other[k]) for other in first for k in other)
    grey = fit(sprites[..., :3], 1, mode='L', out=tmp_path/'grey', **few)
    assert generate(grey, 2, device='cpu').shape == (2, 32, 32, 1) and read_about(grey)['config']['mode'] == 'L'
    with pytest.raises(InputError, match="mode is 'RGB', but the batches have 4 channels"): fit([straight], 1, mode='RGB', out=tmp_path/'none', **few)
    assert not (tmp_path/'none').exists()


def test_a_run_without_the_word(sprites, tmp_path):
    "An earlier version had no `mode` in config.json: three channels are RGB, one is grey"
    grey = sprites[..., :1]
    run = fit(grey, 1, out=tmp_path/'old', **few)
    about = json.loads((run.path/'config.json').read_text())
    del about['config']['mode'], about['checksum']
    about['format'] = 1
    (run.path/'config.json').write_text(json.dumps(about))
    assert read_about(run)['config']['mode'] == 'L' and fit(grey, 2, out=run.path, **few).epochs == 2


def test_one_line_says_what_could_be_kept(folder, sprites, capsys, tmp_path):
    load_images(folder, 32)
    load_images(folder, 32)
    assert capsys.readouterr().out.count("mode='RGBA' would keep it") == 2, 'also from the cache'
    load_images(folder, 32, mode='RGB'), load_images(folder, 32, mode='RGBA')
    assert 'mode=' not in capsys.readouterr().out
    for p in folder.iterdir(): shutil.copy(p, tmp_path)
    Image.fromarray(sprites[0][..., :3]).save(tmp_path/'opaque.png')
    load_images(tmp_path, 32)
    assert 'mode=' not in capsys.readouterr().out, 'not where some have none'
    report = check_images(tmp_path, 32, show=False)
    assert len(report.groups['transparent']) == 24 and '24 of them use transparency, which is laid over white' in report.summary
    share = {f.name: f.see_through for f in report.files}
    assert share['opaque.png'] == 0 and abs(share['00.png'] - (sprites[0, ..., 3] < 255).mean()) < 1e-9
    kept = check_images(folder, 32, show=False, mode='RGBA')
    assert 'All of them use transparency, which is kept' in kept.summary and kept._repr_html_().count('<img') and kept.used[0].thumbnail.shape == (32, 32, 4)
    assert main(['check', str(folder), '--size', '32', '--mode', 'RGBA']) == 0 and 'kept' in capsys.readouterr().out


def test_what_shows_it(run, folder, sprites, monkeypatch):
    monkeypatch.setattr('artgan.walks._candidates', 20)
    generator = LoadedGenerator(run, 'cpu')
    path = save_picture(generator, torch.zeros(1, 8, 1, 1), pixels=64)
    with Image.open(path) as kept: assert kept.mode == 'RGBA' and kept.size == (64, 64)
    assert read_latent(path, generator).shape == (1, 8, 1, 1)
    explorer, breeder = explore(run, device='cpu'), breed(run, device='cpu')
    assert explorer.picture.shape == (32, 32, 4) and explorer.image.value[:2] == b'\xff\xd8' and breeder._repr_mimebundle_()['image/jpeg']
    film = walk(run, [0, 1], seconds=0.2, fps=10, pixels=32, device='cpu')
    with Image.open(film.strip) as strip: assert strip.mode == 'RGB'
    found = project(run, sprites[0], steps=3, device='cpu')
    assert found.target.shape == found.picture.shape == (32, 32, 4) and found._repr_jpeg_()
    near = nearest(run, data=folder, features='pixels', device='cpu')
    assert near.nearest.shape[1:] == (32, 32, 4) and near._repr_jpeg_()
    plot_layers(run), plot_latent_scaling(run, [0], [0.5, 1.]), plot_logits(run, folder, 16)


def test_a_run_with_transparency_is_scored(run, folder):
    pytest.importorskip('torch_fidelity')
    result = run.score(folder, n=12, device='cpu')
    assert result.n == 12 and result.kid > result.baseline.kid


def test_both_are_laid_over_the_same(sprites):
    "A colour where nothing is seen is no difference, and neither is grey, which is what lies behind"
    other = sprites.copy()
    other[sprites[..., 3] == 0] = (255, 0, 255, 0)
    assert colour_distance(sprites, other) == 0 < colour_distance(sprites, sprites[..., :3])


@pytest.mark.parametrize('channels', [2, 5, 0])
@pytest.mark.parametrize('as_given', [lambda x: [*x.split(8)], lambda x: [(b, 0) for b in x.split(8)], lambda x: [{'image': b} for b in x.split(8)], lambda x: [*x],
                                      lambda x: x, lambda x: x.numpy(), lambda x: [*x.movedim(1, 3).numpy()]], ids=['batches', 'pairs', 'dictionaries', 'items', 'tensor', 'array', 'channels last'])
@pytest.mark.parametrize('size', [None, 32])
def test_other_numbers_of_channels_are_refused_before_anything_is_written(channels, as_given, size):
    with pytest.raises(InputError, match='channels|it must be uint8'): fit(as_given(torch.rand(16, channels, 32, 32)*2 - 1), 1, size=size, out='run', **few)
    assert not Path('run').exists()


def test_batches_with_channels_last_are_refused():
    with pytest.raises(InputError, match='have 32 channels; .* come before height and width'): fit([torch.rand(8, 32, 32, 3)*2 - 1], 1, out='run', **few)
    assert not Path('run').exists()
