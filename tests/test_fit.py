"What `fit` takes, refuses and leaves, beyond what nbs/11_train.ipynb shows."
import functools
import gc
import json
import os
import shutil
import threading
import time
import weakref
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

import artgan.models
import artgan.step
from artgan.core import InputError, has_bfloat16
from artgan.costs import free_memory
from artgan.data import Batches, _fits, load_images
from artgan.demo import demo_art
from artgan.weights import generate, load_generator
from artgan.runs import checkpoints, load_checkpoint, read_about, run_format, write_about
from artgan.callbacks import Callback, CallbackError, Scorer, StopWhen
from artgan.live import Watch
from artgan.train import fit
from artgan.trainer import Trainer
from artgan.watching import text_page
from conftest import left_by, equal


@pytest.fixture
def folder(art, tmp_path):
    for i, picture in enumerate(art):
        (tmp_path/'art'/f'class{i % 2}').mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(tmp_path/'art'/f'class{i % 2}'/f'{i:02d}.png')
    return tmp_path/'art'


def test_folder_zip_list_and_pictures_give_the_same_run(folder, tiny):
    files = sorted(p for p in folder.rglob('*.png'))
    with zipfile.ZipFile('art.zip', 'w') as z:
        for p in files: z.write(p, p.relative_to(folder))
    runs = [fit(data, 1, size=size, out=f'run{i}', **tiny) for i, (data, size) in enumerate([(folder, 32), ('art.zip', 32), (files, 32), (load_images(folder, 32), None)])]
    assert all(np.array_equal(run.losses_g, runs[0].losses_g) for run in runs)
    config = json.loads(Path('run0/config.json').read_text())
    assert config['config']['data']['pictures'] == 20 and config['config']['size'] == 32 and config['sessions'][0]['torch'] == torch.__version__


def test_default_folder_is_named_after_the_data(folder, tiny):
    assert fit(folder, 1, size=32, **tiny).path == Path('runs/art')


def test_the_same_seed_gives_the_same_run_and_another_another(art, tiny):
    a, b, c = (fit(art, 1, out=f'run{i}', seed=seed, **tiny) for i, seed in enumerate((1, 1, 2)))
    assert equal(left_by(a.path), left_by(b.path)) and not np.array_equal(a.losses_g, c.losses_g)


@pytest.mark.parametrize('size', artgan.models.sizes)
def test_every_size(size, tiny):
    "One step at each, down to pictures from the saved file"
    pictures = np.random.default_rng(0).integers(0, 256, (4, size, size, 3), dtype=np.uint8)
    run = fit(pictures, 1, out='run', **{**tiny, 'batch_size': 4})
    assert generate(run, n=2, device='cpu').shape == (2, size, size, 3)


def test_grey_pictures(tiny):
    run = fit(np.zeros((8, 32, 32, 1), np.uint8), 1, out='run', **tiny)
    assert generate(run, n=2, device='cpu').shape == (2, 32, 32, 1)


def test_a_pair_of_ones_own(art, tiny, monkeypatch):
    "Registered by name, trained, and built again from the file"
    monkeypatch.setitem(artgan.models.NETWORKS, 'mine', (artgan.models.dcgan_generator, artgan.models.dcgan_discriminator))
    run = fit(art, 1, recipe='classic', network='mine', out='run', **tiny)
    assert generate(run.path/'G.safetensors', n=1, device='cpu').shape == (1, 32, 32, 3)
    monkeypatch.delitem(artgan.models.NETWORKS, 'mine')
    with pytest.raises(InputError, match="'mine'; known are 'dcgan'"): generate(run.path/'G.safetensors', n=1, device='cpu')


def test_bfloat16(art, tiny):
    "Works on the CPU too, stays near float32, and keeps weights in float32"
    full, half = (fit(art, 2, out=f'run{amp}', amp=amp, **tiny) for amp in (False, True))
    assert np.isfinite(half.losses_g).all() and np.abs(half.losses_d[:3] - full.losses_d[:3]).max() < 0.1
    assert all(p.dtype == torch.float32 for p in half.generator.parameters())


def test_float16(art, tiny):
    "Stays near float32; what an interruption leaves, the scalers too, goes on to the same; and a run keeps its precision"
    full, half = (fit(art, 2, out=precision, precision=precision, **tiny) for precision in ('float32', 'float16'))
    assert np.isfinite(half.losses_g).all() and np.abs(half.losses_d[:3] - full.losses_d[:3]).max() < 0.02
    assert all(p.dtype == torch.float32 for p in half.generator.parameters()) and not np.array_equal(half.losses_d, full.losses_d)
    class Stop(Callback):
        def after_epoch(self, run): run.stop.set()
    assert fit(art, 2, out='stopped', precision='float16', callbacks=[Stop()], **tiny).epochs == 1
    continued = fit(art, 2, out='stopped', **tiny)
    left, straight = ({**left_by(run.path), 'checkpoints': None} for run in (continued, half))  # it was saved once more
    assert equal(left, straight)
    sessions = json.loads(Path('stopped/config.json').read_text())['sessions']
    assert [s['precision'] for s in sessions] == ['float16', 'float16']
    state = torch.load(max(Path('float16/checkpoints').glob('step-*.pt')), weights_only=True)
    assert state['scaler_g']['scale'] == 2**16 and state['scaler_d']['_growth_tracker'] > 0
    changed = fit(art, 3, out='float32', precision='float16', **tiny)
    assert changed.epochs == 3 and np.isfinite(changed.losses_d).all(), 'from float32 to float16: with new scalers'


def test_a_network_of_the_article_in_float16(art, tiny):
    "With batch norm, a full batch of new latents for each player, and BCE"
    run = fit(art, 1, out='run', recipe='classic', precision='float16', **tiny)
    assert np.isfinite(run.losses_g).all() and generate(run, n=2, device='cpu').std() > 0


def test_compiled(art, tiny, monkeypatch):
    """The compiled networks compute the same, and their weights load as usual. Traced and differentiated as torch.compile does it, but without the
    C++ code that it ends in, which takes a minute to make: ARTGAN_COMPILE=inductor makes it"""
    monkeypatch.setattr(torch, 'compile', functools.partial(torch.compile, backend=os.environ.get('ARTGAN_COMPILE', 'aot_eager')))
    plain, compiled = (fit(art[:16], 1, out=f'run{c}', network='plain', compile=c, **tiny) for c in (False, True))  # one shape of batch
    assert np.allclose(plain.losses_d, compiled.losses_d, rtol=1e-3)
    assert generate(compiled, n=1, device='cpu').shape == (1, 32, 32, 3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA GPU')
@pytest.mark.parametrize('options', [{}, {'precision': 'float32'}, {'precision': 'float16'}])
def test_on_a_gpu(options, art, tiny):
    "The whole path on CUDA, and on with it on the CPU"
    tiny['device'] = 'cuda'
    a, b = (fit(art, 2, out=f'run{i}', deterministic=True, **options, **tiny) for i in range(2))
    assert equal(left_by(a.path), left_by(b.path)), 'a seed fixes a run on a GPU too'
    tiny['device'] = 'cpu'
    assert fit(art, 3, out='run0', **{**options, 'precision': None}, **tiny).epochs == 3


def test_a_full_gpu_is_explained_and_what_filled_it_let_go(art, tiny, monkeypatch):
    "A notebook keeps the last error, and with it all that its functions held: the call that the message proposes would find no room"
    held, real = [], artgan.step.played
    def full(loss, real_logits, *others):
        if len(held) == 8: raise torch.cuda.OutOfMemoryError('full')
        held.append(weakref.ref(real_logits))
        return real(loss, real_logits, *others)
    how = dict(epochs=3, out='run', network='fine', loss='relativistic', **tiny)
    with monkeypatch.context() as m:
        m.setattr('artgan.step.played', full)
        with pytest.raises(InputError, match='no room for 8 pictures .* micro_batch=4 goes on, .* The last checkpoint is in run') as caught: fit(art, **how)
    gc.collect()
    assert len(held) == 8 and caught.value.__traceback__ and all(ref() is None for ref in held)
    run = fit(art, micro_batch=4, **how)
    assert run.epochs == 3 and len(run.losses_g) == 9 and 'micro_batch' in Path('run/config.json').read_text()


def test_the_live_view_lets_go_of_a_run(art, tiny, monkeypatch):
    "ipywidgets keeps every button that there was, and a button its view; on a GPU the networks and the pictures would stay as well"
    class Look(Callback):
        def before_run(self, run): self.run = weakref.ref(run)
    look = Look()
    monkeypatch.setattr('artgan.live.display', lambda *shown, **how: SimpleNamespace(update=lambda shown: None))  # there is no notebook here
    fit(art, 1, out='run', callbacks=[Watch(), look], **tiny)
    gc.collect()
    assert look.run() is None


def test_a_step_that_needs_more_memory_than_there_is_is_refused(art, tiny, monkeypatch):
    "Before anything is written, and with what to do"
    monkeypatch.setattr('artgan.costs.free_memory', lambda device: 6e6)
    with pytest.raises(InputError, match=r'at least 0\.0 GB.*micro_batch=4 might fit'): fit(art, 1, out='run', precision='float32', **tiny)
    assert not os.path.exists('run')


def test_memory_that_torch_keeps_for_later_counts_as_free(monkeypatch):
    "As that of an earlier run in the same notebook, which a new one will use"
    for name, value in {'mem_get_info': (10, 100), 'memory_reserved': 60, 'memory_allocated': 20}.items(): monkeypatch.setattr(torch.cuda, name, lambda device, value=value: value)
    assert free_memory(torch.device('cuda')) == 50 and _fits(24, torch.device('cuda')) and not _fits(25, torch.device('cuda'))


def test_settings_of_torch_are_as_before(art, tiny):
    def settings(): return torch.get_float32_matmul_precision(), torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark, torch.get_rng_state().tolist()
    before = settings()
    fit(art, 1, out='run', deterministic=True, **tiny)
    assert settings() == before


def test_in_a_thread_there_is_no_handler_and_training_works(art, tiny):
    result = []
    thread = threading.Thread(target=lambda: result.append(fit(art, 1, out='run', **tiny)))
    thread.start()
    thread.join()
    assert result[0].epochs == 1


def test_an_iterable_without_a_length(art, tiny):
    class Endless:
        def __iter__(self): return (x for x, _ in Batches(art, 8, seed=0))
    del tiny['batch_size']
    run = fit(Endless(), 2, out='run', **{**tiny, 'show': True})
    assert run.epochs == 2 and len(run.losses_g) == 6


def test_a_long_epoch_of_unknown_length_can_be_shown(art, tiny):
    "The bar is brought up to date once a second, when nobody knows yet how much there is to come"
    class Slow:
        def __iter__(self):
            for x, _ in Batches(art, 8, seed=0):
                time.sleep(0.6)
                yield x
    del tiny['batch_size']
    assert fit(Slow(), 1, out='run', **{**tiny, 'show': True}).epochs == 1


def test_a_picture_folder_is_never_taken_for_a_run(folder, tiny):
    before = sorted(folder.rglob('*'))
    with pytest.raises(InputError, match='not a run folder'): fit(folder, 1, size=32, out=folder, **tiny)
    assert sorted(folder.rglob('*')) == before


def test_a_damaged_config_is_named(art, tiny):
    fit(art, 1, out='run', **tiny)
    Path('run/config.json').write_text('{"config": ')
    with pytest.warns(UserWarning, match='config.json is damaged'): assert fit(art, 2, out='run', **tiny).epochs == 2, 'its content is in the checkpoints'
    Path('run/config.json').write_text('{"config": ')
    for p in checkpoints('run'): p.unlink()
    with pytest.raises(InputError, match='config.json'): fit(art, 2, out='run', **tiny)


def test_a_run_of_a_newer_version_is_refused(art, tiny):
    fit(art, 1, out='run', **tiny)
    about = json.loads(Path('run/config.json').read_text())
    about.pop('checksum')
    write_about(Path('run'), {**about, 'format': run_format + 1})
    with pytest.raises(InputError, match='newer'): fit(art, 1, out='run', **tiny)


def test_the_device_may_change_and_is_noted(art, tiny):
    fit(art, 1, out='run', **tiny)
    fit(art, 2, out='run', **tiny)
    assert [s['device'] for s in json.loads(Path('run/config.json').read_text())['sessions']] == ['cpu', 'cpu']


def test_the_readme_s_ten_lines(art, monkeypatch, tiny):
    "They run as they stand, with fewer epochs and smaller networks"
    import artgan.train
    import sync
    code = (sync.root/'README.md').read_text().split('```python\n')[1:]
    code = next(c for c in code if 'fit(' in c).split('```')[0]
    assert "fit('my-pictures', epochs=300)" in code
    Path('my-pictures').mkdir()
    for i, picture in enumerate(art): Image.fromarray(picture).save(f'my-pictures/{i}.jpg')
    real = artgan.train.fit
    monkeypatch.setattr(artgan, 'fit', lambda data, epochs: real(data, 1, size=32, **tiny), raising=False)
    exec(compile(code, 'README.md', 'exec'), {})
    assert {'training.webm', 'G.safetensors', 'G.pth', 'D.pth', 'history.csv', 'config.json', 'generated', 'checkpoints'} <= set(os.listdir('runs/my-pictures'))


def test_a_run_that_began_before_pictures_were_decoded_as_today_goes_on(tmp_path, tiny):
    "Large JPEGs, for one, give other bytes now; a run keeps those that it began with"
    from PIL import Image
    from artgan.data import load_images
    (tmp_path/'large').mkdir()
    for i, picture in enumerate(demo_art(8, size=64)[0]): Image.fromarray(picture).resize((700, 700)).save(tmp_path/'large'/f'{i}.jpg')
    then, now = load_images(tmp_path/'large', 32, decoder=2, show=False), load_images(tmp_path/'large', 32, show=False)
    assert then.fingerprint != now.fingerprint
    fit(then, 1, out='run', **tiny)
    again = fit(tmp_path/'large', 2, size=32, out='run', **tiny)
    assert again.epochs == 2 and read_about(again.path)['config']['data']['fingerprint'] == then.fingerprint
    assert read_about(fit(tmp_path/'large', 1, size=32, out='new', **tiny).path)['config']['data']['fingerprint'] == now.fingerprint


def test_pictures_that_are_there_twice_are_said_once(art, tiny, capsys):
    run = fit(np.concatenate([art, art[:3]]), 1, out='run', **{**tiny, 'show': 'text'})
    assert [kind for _, kind, _ in run.notes] == ['repeats'] and '3 of the 23' in capsys.readouterr().out
    assert [kind for _, kind, _ in fit(np.concatenate([art, art[:3]]), 2, out='run', **tiny).notes] == ['repeats']
    assert fit(art, 1, out='clean', **tiny).notes == []


def test_what_is_not_to_be_shown_is_not_said(art, tiny, capfd):
    "Neither decoding, nor what a folder holds besides pictures, nor the recipe"
    os.mkdir('art')
    for i, picture in enumerate(art): Image.fromarray(picture).save(f'art/{i}.png')
    Path('art/notes.txt').write_text('no picture')
    fit('art', 1, size=32, **tiny)
    fit([Image.fromarray(np.dstack([picture, picture[..., 0]])) for picture in art], 1, size=32, out='see-through', **tiny)
    assert capfd.readouterr() == ('', '')
    fit('art', 2, size=32, **{**tiny, 'show': 'text'})
    assert 'passed over 1 file' in ''.join(capfd.readouterr())


def test_a_batch_in_parts(art, tiny):
    "Near the whole batch; exact when interrupted, also without being asked again; and a run may change over"
    tiny['batch_size'] = 16
    whole, parts = (fit(art, 2, out=f'run{n}', micro_batch=n, **tiny) for n in (None, 8))
    assert np.allclose(whole.losses_d, parts.losses_d, atol=0.02)
    class Stop(Callback):
        def after_epoch(self, run): run.stop.set()
    fit(art, 2, out='stopped', micro_batch=8, callbacks=[Stop()], **tiny)
    continued = fit(art, 2, out='stopped', **tiny)
    assert equal(*({**left_by(run.path), 'checkpoints': None} for run in (continued, parts)))
    assert [s['micro_batch'] for s in json.loads(Path('stopped/config.json').read_text())['sessions']] == [8, 8]
    assert fit(art, 3, out='runNone', micro_batch=4, **tiny).epochs == 3
    assert fit(art, 3, out='stopped', micro_batch=16, **tiny).epochs == 3, 'the whole batch again'
    for n, what in ((3, 'multiple of 4'), (0, 'micro_batch'), ('8', 'micro_batch')):
        with pytest.raises(InputError, match=what): fit(art, 1, out='none', micro_batch=n, **tiny)
    with pytest.raises(InputError, match='batch norm'): fit(art, 1, out='none', recipe='classic', micro_batch=8, **tiny)
    assert not Path('none').exists()


@pytest.mark.parametrize('loss', ['hinge', 'relativistic'])
def test_no_pass_through_d_is_larger_than_a_part(loss, art, tiny):
    "Also in the last, short batch of an epoch, where other games take a full batch of generated pictures"
    seen = []
    class Watch(Callback):
        def before_run(self, run): run.D.register_forward_pre_hook(lambda D, x: seen.append(len(x[0])))
    fit(art, 1, out='run', loss=loss, r1_gamma=0., micro_batch=4, callbacks=[Watch()], **{**tiny, 'batch_size': len(art) - 4})
    assert max(seen) == 8, 'four real ones and four generated ones'


@pytest.mark.parametrize('precision', ['bfloat16', 'float16'])
def test_parts_in_half_precision(precision, art, tiny):
    if precision == 'bfloat16' and not has_bfloat16(torch.device('cpu')): pytest.skip('this processor has no bfloat16')
    tiny['batch_size'] = 16
    run, full = (fit(art, 1, out=f'run{n}', precision=precision, micro_batch=n, **tiny) for n in (8, None))
    assert np.allclose(run.losses_d, full.losses_d, atol=0.05) and np.isfinite(run.losses_g).all()


def test_a_run_in_a_thread_is_stopped_by_an_event(art, tiny):
    "It saves, and goes on to the same end as a run that was left alone"
    event, found = threading.Event(), []
    class Ask(Callback):
        def after_epoch(self, run): event.set()
    thread = threading.Thread(target=lambda: found.append(fit(art, 5, out='run', callbacks=[Ask(), StopWhen(event)], **tiny)))
    thread.start()
    thread.join(60)
    assert found[0].epochs == 1
    assert fit(art, 5, out='run', **tiny).epochs == 5
    fit(art, 5, out='whole', **tiny)
    assert equal(*({**left_by(path), 'checkpoints': None} for path in ('run', 'whole')))


def test_a_later_batch_of_another_shape_is_named_and_the_run_goes_on_exactly_with_better_ones(tiny, tmp_path):
    first, second = torch.zeros(8, 3, 32, 32), torch.ones(8, 3, 32, 32)
    for odd in torch.zeros(8, 3, 48, 48), torch.zeros(8, 1, 32, 32):
        with pytest.raises(InputError, match=r'a batch has pictures of shape .* and the first one had \(3, 32, 32\). Give all pictures one shape'):
            fit([first, odd], 2, out='run', **tiny)
    fit([first, second], 2, out='run', **tiny)
    fit([first, second], 2, out='undisturbed', **tiny)
    kept, wanted = ({k: v for k, v in load_checkpoint(name).items() if k != 'data'} for name in ('run', 'undisturbed'))  # less torch's own state
    assert equal(kept, wanted)


def test_a_run_that_begins_from_the_articles_networks_takes_a_recipe_that_can_train_them(art, tiny, capsys):
    first = fit(art, 1, out='first', recipe='classic', **tiny)
    with pytest.raises(InputError, match="Take recipe='classic'"): fit(art, 1, out='second', start=first, recipe='cpu', **tiny)
    for _ in range(2): run = fit(art, 1, out='second', start='first', **{**tiny, 'show': 'text', 'score_every': 0})
    assert [read_about(run.path)['config'][k] for k in ('loss', 'network')] == ['logistic', 'dcgan']
    assert "recipe 'classic', as the discriminator of 'dcgan' has batch norm" in capsys.readouterr().out


def test_with_few_pictures_and_much_time_the_recipe_for_them_is_named(art, tiny, capsys, monkeypatch):
    monkeypatch.setattr(artgan.train, 'long_run', 40)
    for epochs, said in {1: False, 2: True}.items():
        fit(art, epochs, out=f'run{epochs}', score_every=0, **{**tiny, 'show': 'text'})
        out = capsys.readouterr().out
        assert "recipe 'cpu', for training on a CPU" in out and ("recipe='aided'" in out) == said
    fit(art, 2, out='named', recipe='cpu', score_every=0, **{**tiny, 'show': 'text'})
    fit(art, 2, out='begun', start='run1', score_every=0, **{**tiny, 'show': 'text'})
    assert "recipe='aided'" not in capsys.readouterr().out, 'who names a recipe, or networks, wants these'


@pytest.mark.parametrize('dtype', [torch.float64, torch.float16, torch.bfloat16])
def test_batches_of_every_float(dtype, tiny):
    "As `torch.from_numpy` makes them, which is float64"
    pictures = torch.rand(8, 3, 32, 32).mul(2).sub(1).to(dtype)
    run, same = (fit([x], 1, out=f'run{x.dtype}', **tiny) for x in (pictures, pictures.float()))
    assert equal(run.generator.state_dict(), same.generator.state_dict())


def test_batches_that_are_no_numbers(tiny):
    with pytest.raises(InputError, match='from nan to nan'): fit([torch.full((8, 3, 32, 32), torch.nan)], 1, out='run', **tiny)


@pytest.mark.parametrize('part', [0., 0.5, 1.])
def test_a_ramp_may_be_a_step(part, art, tiny):
    assert fit(art, 2, out='run', augment_ramp=(part, part), label_ramp=(part, part), labels=['a', 'b']*10, least=1, **tiny).epochs == 2


def test_many_short_epochs_do_not_ask_for_a_grid_each(art, tiny, monkeypatch):
    monkeypatch.setattr('artgan.costs.free_space', lambda path: 200_000_000)
    def stop(self): raise KeyboardInterrupt
    monkeypatch.setattr(Trainer, 'end_epoch', stop)
    with pytest.raises(KeyboardInterrupt): fit(art, 20_000, out='run', **tiny)  # 232 grids of 200 KB
    with pytest.raises(InputError, match='make room'): fit(art, 2_000_000, out='long', **tiny)


def test_a_start_whose_first_checkpoint_could_not_be_written(art, tiny, monkeypatch):
    first = fit(art, 1, out='first', **tiny)
    with monkeypatch.context() as full:
        def save(*args, **more): raise OSError(28, 'No space left on device')
        full.setattr('artgan.trainer.save_checkpoint', save)
        with pytest.raises(OSError): fit(art, 2, out='second', start=first, **tiny)
    with pytest.raises(InputError, match='pass the same start again'): fit(art, 2, out='second', **tiny)
    assert fit(art, 2, out='second', start=first, **tiny).epochs == 2
    shutil.copy(checkpoints(first.path)[-1], 'copied.pt')
    again = fit(art, 2, out='third', start='copied.pt', **tiny)
    assert equal(again.generator.state_dict(), load_generator('second').state_dict()), 'a checkpoint says itself what it is of'
    monkeypatch.chdir('first/checkpoints')
    assert generate(checkpoints('..')[-1].name, 1, device='cpu').shape == (1, 32, 32, 3)


@pytest.mark.skipif(os.name == 'nt', reason='links need a right there')
def test_one_folder_with_several_names_is_one_run(art, tiny, monkeypatch):
    Path('elsewhere').mkdir()
    fit(art, 1, out='elsewhere/run', **tiny)
    Path('link').symlink_to('elsewhere/run')
    refused = []
    class Second(Callback):
        def after_epoch(self, run):
            page = text_page('link')
            assert 'nobody is training it' not in page
            for name in ('elsewhere/run', 'link', 'elsewhere/../elsewhere/run', Path('link').resolve()):
                with pytest.raises(InputError, match='is in use by'): fit(art, 9, out=name, **tiny)
                refused.append(name)
            with monkeypatch.context() as inside:
                inside.chdir('elsewhere/run')
                with pytest.raises(InputError, match='is in use by'): fit(art, 9, out='.', **tiny)
    assert fit(art, 2, out='link', callbacks=[Second()], **tiny).epochs == 2 and len(refused) == 4
    with monkeypatch.context() as inside:
        Path('here').mkdir()
        inside.chdir('here')
        fit(art, 1, out='.', **tiny)
        assert fit(art, 1, out='.', fresh=True, **tiny).epochs == 1 and Path('../here.old-1').is_dir()
    fit(art, 1, out='link', fresh=True, callbacks=[Second()], **tiny)
    assert Path('link').is_symlink() and Path('elsewhere/run.old-1').is_dir() and Path('elsewhere/run/G.safetensors').is_file() and len(refused) == 8, 'the link leads to the new run'


@pytest.mark.parametrize('moment', ['before_run', 'after_epoch'])
def test_a_callback_that_raises_leaves_nothing_behind(moment, art, tiny, monkeypatch):
    "The view is shut, and the run let go of, wherever another callback raised; who has not begun is not told of the end"
    told, runs = [], []
    class Notes(Callback):
        def before_run(self, run): told.append('begun'); runs.append(weakref.ref(run))
        def after_run(self, run): told.append('ended')
    class Raises(Callback):
        def after_run(self, run): told.append('the one that raised')
    def fail(self, run): raise ValueError('no')
    setattr(Raises, moment, fail)
    with pytest.raises(CallbackError): fit(art, 1, out='run', callbacks=[Watch(), Notes(), Raises()], **tiny)
    gc.collect()
    assert runs[0]() is None and told == ['begun', 'ended'] + ['the one that raised']*(moment != 'before_run')


def test_fewer_pictures_than_a_score_needs(art, tiny):
    pytest.importorskip('torch_fidelity', reason='the extra metrics is not installed')
    few = dict(out='run', **{**tiny, 'batch_size': 4})
    with pytest.raises(InputError, match='a score needs 10'): fit(art[:8], 1, score_every=1, **few)
    assert not Scorer(None, Batches(art[:8], 4), 1).every and Scorer(None, Batches(art, 4), 1).every
