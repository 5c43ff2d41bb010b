"Stopped anywhere, in any way, and called again: the run ends as if nothing had happened, to the bit."
import contextlib
import os
import signal
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torchvision.utils import save_image

import artgan.callbacks
import artgan.runs
import artgan.train, artgan.trainer
from artgan.callbacks import Callback
from artgan.core import InputError
from artgan.data import Batches
from artgan.live import Watch
from artgan.losses import LOSSES
from artgan.recipes import RECIPES
from artgan.runs import checkpoints, load_checkpoint, read_about, write_about
from artgan.step import draw_grid
from artgan.train import fit
from artgan.trainer import Diverged, Trainer
from conftest import equal, forked, left_by, needs_fork

EPOCHS, STEPS = 3, 9  # of the straight run: three steps an epoch


@pytest.fixture(scope='module', params=['classic', 'cpu'])
def recipe(request):
    "The article's, and one with everything: an averaged generator, labels that are faded in, augmentation, a penalty in the first step and in the last, falling rates"
    return 'classic' if request.param == 'classic' else {**RECIPES['cpu'], 'lr_hold': 40, 'lr_end': 0.1, 'penalty': 0.3, 'penalty_end': 0.5, 'penalty_every': 8, 'augment': ('translate', 'colour'), 'augment_ramp': (0, 0.5), 'label_ramp': (0, 0.6),
        'adapt': ('flip', 'zoom'), 'adapt_target': 0.1}


def told(recipe): # pictures in memory, mirrored half of the time and with labels
    return {} if recipe == 'classic' else dict(mirror=True, labels=['art', 'craft', 'art', 'craft', 'other']*4, least=1)


@pytest.fixture
def tiny(tiny, recipe): return {**tiny, 'recipe': recipe, **told(recipe)}


@pytest.fixture(scope='module')
def straight(art, recipe, tmp_path_factory):
    path = tmp_path_factory.mktemp('straight')/'run'
    run = fit(art, EPOCHS, out=path, batch_size=8, latent_size=8, width=4, device='cpu', show=False, recipe=recipe, **told(recipe))
    assert len(run.losses_g) == STEPS
    return left_by(path)


@contextlib.contextmanager
def before_call(name, number, action):
    "Do `action` at the start of the `number`-th call of `name` in the package, or of a player's loss"
    calls = 0
    def watched(real):
        def called(*args, **kwargs):
            nonlocal calls
            calls += 1
            if calls == number: action()
            return real(*args, **kwargs)
        return called
    with pytest.MonkeyPatch.context() as patch:
        if name in ('discriminator_loss', 'generator_loss'):
            player = name == 'generator_loss'
            for game, losses in LOSSES.items(): patch.setitem(LOSSES, game, tuple(watched(loss) if i == player else loss for i, loss in enumerate(losses)))
        else:
            modules = artgan.train, artgan.trainer, artgan.callbacks, artgan.runs
            seen = watched(next(getattr(m, name) for m in modules if hasattr(m, name)))
            for module in modules:
                if hasattr(module, name): patch.setattr(module, name, seen)
        yield
    assert calls >= number, f'{name} was called {calls} times only'


def ctrl_c(times=1):
    def press():
        for _ in range(times): os.kill(os.getpid(), signal.SIGINT)
    return press


@pytest.mark.parametrize('step', range(1, STEPS + 1))
def test_ctrl_c_between_the_two_turns_of_a_step(step, straight, art, tiny):
    with before_call('generator_loss', step, ctrl_c()): run = fit(art, EPOCHS, out='run', **tiny)
    assert len(run.losses_g) == step and run.epochs == (step - 1)//3
    assert len(read_csv('run/history.csv')) == step and os.path.exists('run/G.safetensors')
    fit(art, EPOCHS, out='run', **tiny)
    assert_same(straight)


def test_stopped_at_every_single_step(straight, art, tiny):
    for step in range(1, STEPS):
        with before_call('generator_loss', 1, ctrl_c()): run = fit(art, EPOCHS, out='run', **tiny)
        assert len(run.losses_g) == step
    fit(art, EPOCHS, out='run', **tiny)
    assert_same(straight)


@pytest.mark.parametrize('name,number', [('generator_loss', 1), ('generator_loss', 5), ('discriminator_loss', 9), ('save_samples', 1), ('save_samples', 2),
                                         ('save_samples', 4), ('save_checkpoint', 1), ('save_checkpoint', 2), ('tell', 3), ('save_weights', 1)])
def test_ctrl_c_twice_stops_at_once_anywhere(name, number, straight, art, tiny):
    "In the middle of a step, of a grid, of a checkpoint: what is on disk is a valid state, and the rest is done again"
    with before_call(name, number, raise_interrupt), pytest.raises(KeyboardInterrupt): fit(art, EPOCHS, out='run', **tiny)
    fit(art, EPOCHS, out='run', **tiny)
    assert_same(straight)


def raise_interrupt(): raise KeyboardInterrupt


def die_at(name, number, options):
    "Train, and be gone at the `number`th call of something that the training calls: no handler, no cleanup"
    with before_call(name, number, lambda: os._exit(9)): fit(np.load('art.npy'), EPOCHS, out='run', **options)


@needs_fork
@pytest.mark.parametrize('name,number', [('train_step', 5), ('save_samples', 1), ('save_samples', 3), ('save_checkpoint', 2), ('save_weights', 1)])
def test_the_process_ends_without_warning(name, number, straight, art, tiny):
    "As when Colab takes the machine away"
    np.save('art.npy', art)
    process = forked(die_at, name, number, tiny)
    process.join(300)
    assert process.exitcode == 9
    fit(art, EPOCHS, out='run', **tiny)
    assert_same(straight)


def test_an_error_in_the_data_loses_nothing(art, tiny):
    "Between two steps everything is in order, so it is saved before the error goes on its way"
    class Flaky:
        fault = False
        def __len__(self): return 3
        def __iter__(self):
            for i, (images, _) in enumerate(Batches(art, 8, shuffle=False)):
                if i == 1 and self.fault: raise OSError('the disk with the pictures is gone')
                yield images
    for k in ('batch_size', 'labels', 'least'): tiny.pop(k, None)  # of batches ready made
    data = Flaky()
    fit(data, EPOCHS, out='straight', **tiny)
    data.fault = True
    with pytest.raises(OSError, match='pictures is gone'): fit(data, EPOCHS, out='run', **tiny)
    assert load_checkpoint('run')['step'] == 1
    data.fault = False
    fit(data, EPOCHS, out='run', **tiny)
    assert_same(left_by('straight'))


@pytest.mark.parametrize('damage', [lambda data: data[:1000], lambda data: b'', lambda data: b'\0'*len(data)])
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(damage, straight, art, tiny):
    with before_call('generator_loss', 8, ctrl_c()): fit(art, EPOCHS, out='run', **tiny)
    newest = checkpoints('run')[-1]
    newest.write_bytes(damage(newest.read_bytes()))
    with pytest.warns(UserWarning, match=newest.name): fit(art, EPOCHS, out='run', **tiny)
    assert_same(straight)


def test_without_any_readable_checkpoint_nothing_is_touched(art, tiny):
    fit(art, 1, out='run', **tiny)
    for p in checkpoints('run'): p.write_bytes(b'')
    before = {p: p.read_bytes() for p in checkpoints('run')[0].parent.parent.rglob('*') if p.is_file()}
    with pytest.warns(UserWarning), pytest.raises(InputError, match='none of the 2 checkpoints'): fit(art, 2, out='run', **tiny)
    assert all(p.read_bytes() == b for p, b in before.items())


def test_pickled_code_in_a_checkpoint_does_not_run(art, tiny):
    class Malice:
        def __reduce__(self): return os.mkdir, ('owned',)
    fit(art, 1, out='run', **tiny)
    torch.save(Malice(), checkpoints('run')[-1])
    with pytest.warns(UserWarning, match='trying the one before'): assert fit(art, 2, out='run', **tiny).epochs == 2
    assert not os.path.exists('owned')


def test_the_article_s_loader_with_random_flips(art, tiny):
    "Order and transforms of a DataLoader draw from torch's global generator, which the run keeps"
    import torchvision.transforms as T
    from torch.utils.data import DataLoader
    class Flipped(torch.utils.data.Dataset):
        flip = T.RandomHorizontalFlip()
        def __len__(self): return len(art)
        def __getitem__(self, i): return self.flip(torch.from_numpy(art[i]).permute(2, 0, 1)/127.5 - 1), 0
    loader = DataLoader(Flipped(), 8, shuffle=True)
    for k in ('batch_size', 'labels', 'least'): tiny.pop(k, None)  # of batches ready made
    fit(loader, EPOCHS, out='straight', **tiny)
    torch.manual_seed(7)  # the caller's random state makes no difference, and is left alone
    state = torch.get_rng_state()
    for step in (2, 3, 1):
        with before_call('generator_loss', step, ctrl_c()): fit(loader, EPOCHS, out='run', **tiny)
    fit(loader, EPOCHS, out='run', **tiny)
    assert torch.equal(torch.get_rng_state(), state)
    assert_same(left_by('straight'))


def test_checkpoints_go_by_the_clock_and_the_newest_three_stay(straight, art, tiny, monkeypatch):
    "A run of a second has the one before its first step and the one at its end; with no time between them there is one an epoch"
    assert straight['checkpoints'] == ['step-00000000.pt', 'step-00000009.pt']
    monkeypatch.setattr(artgan.trainer, 'save_after_epoch', 0)
    fit(art, 5, out='run', **tiny)
    assert [p.name for p in checkpoints('run')] == ['step-00000009.pt', 'step-00000012.pt', 'step-00000015.pt']


def test_a_long_epoch_is_saved_inside(art, tiny, monkeypatch):
    "A huge folder is not lost when it is killed inside its first epoch"
    monkeypatch.setattr(artgan.trainer, 'save_at_least', 0)
    class Slow(artgan.callbacks.Callback):
        def after_read(self, run): self.files = [p.name for p in checkpoints('run')]
    slow, real = Slow(), artgan.trainer.Trainer.count
    def count(self, *args):  # every step takes two seconds
        self.begun -= 2
        real(self, *args)
    monkeypatch.setattr(artgan.trainer.Trainer, 'count', count)
    fit(art, 1, out='run', callbacks=[slow], **tiny)
    assert slow.files == ['step-00000000.pt', 'step-00000001.pt', 'step-00000002.pt']


def test_start_idx_numbers_the_grids(art, tiny):
    fit(art, 2, start_idx=10, out='run', **tiny)
    assert sorted(os.listdir('run/generated')) == [f'generated-images-{n:04d}.png' for n in (9, 10, 11)]


def read_csv(path): return open(path).read().splitlines()[1:]


def assert_same(straight):
    mine = left_by('run')
    for part in straight:
        if part != 'checkpoints': assert equal(mine[part], straight[part]), f'{part} differs'


def test_a_run_of_an_earlier_version_goes_on_as_it_was(art, tiny):
    "A word that its recipe did not have means what was done then"
    then = {**RECIPES['cpu'], 'network': 'plain', 'redraw': True, 'amp': False}
    for name in ('new', 'old'): fit(art, 1, out=name, **{**tiny, 'recipe': then})
    about = read_about(Path('old'))
    for word in ('reuse_fakes', 'r1_gamma_end'): about['config'].pop(word)
    write_about(Path('old'), about)
    write_about(Path('new'), {**about, 'config': {**about['config'], 'reuse_fakes': False, 'r1_gamma_end': 1.}})
    del tiny['recipe']
    a, b = (fit(art, 2, out=name, **tiny) for name in ('new', 'old'))
    assert a.epochs == b.epochs == 2 and equal(left_by(a.path), left_by(b.path))


class Keeps(Callback):
    "Remembers something over an interruption"
    def __init__(self, state): self.state, self.got = state, None
    def state_dict(self): return self.state
    def load_state_dict(self, state): self.got = state


def test_callbacks_keep_what_numpy_made(art, tiny):
    kept = {'best': np.float64(2.5), 'seen': np.arange(3), 'random': np.random.RandomState(1).get_state()}
    fit(art, 1, out='run', callbacks=[Keeps(kept)], **tiny)
    fit(art, 2, out='run', callbacks=[again := Keeps(kept)], **tiny)
    assert equal({k: again.got[k] for k in ('best', 'seen')}, {k: kept[k] for k in ('best', 'seen')}) and (again.got['random'][1] == kept['random'][1]).all()


@pytest.mark.parametrize('state', [{'where': Path('a')}, {'how': lambda: 1}, {'what': Callback()}], ids=['path', 'function', 'object'])
def test_what_no_checkpoint_can_hold_is_left_out_and_said(state, art, tiny, capsys):
    run = fit(art, 1, out='run', callbacks=[Keeps(state)], **{**tiny, 'show': 'text'})
    assert 'Note: the state of the callback Keeps is not kept' in capsys.readouterr().out and load_checkpoint('run')['notes']
    assert [text for _, kind, text in run.notes if kind == 'state of Keeps' and 'is not kept' in text]
    assert fit(art, 2, out='run', callbacks=[again := Keeps(state)], **tiny).epochs == 2 and again.got is None


class Own:
    "Batches with a place of their own"
    def __init__(self, kept): self.numbers, self.kept = np.random.RandomState(1), kept
    def __iter__(self): return (torch.from_numpy(self.numbers.rand(8, 3, 32, 32).astype('f'))*2 - 1 for _ in range(2))
    def state_dict(self): return {'at': self.numbers.get_state() if self.kept else self.numbers}
    def load_state_dict(self, state): self.numbers.set_state(state['at'])


def test_the_place_of_batches_is_tried_before_anything_is_written(tiny):
    tiny = {k: v for k, v in tiny.items() if k not in ('batch_size', 'labels', 'least', 'mirror')}
    with pytest.raises(InputError, match='state_dict of the batches'): fit(Own(False), 1, out='run', **tiny)
    assert not Path('run').exists()
    fit(Own(True), 1, out='run', **tiny)
    fit(Own(True), 2, out='run', **tiny), fit(Own(True), 2, out='straight', **tiny)
    assert equal(load_checkpoint('run')['G'], load_checkpoint('straight')['G'])


class Scored:
    "A scorer that knows the answers"
    def __init__(self, *distances): self.distances = iter(distances)
    def due(self, images, new): return True
    def __call__(self, run): return dict(kid=1., frechet=next(self.distances), precision=0., recall=0., colour=0.)


def scored(config, art, *distances, saves=True):
    "A run of three steps with these scores, whose process is gone afterwards"
    run = Trainer(config, torch.device('cpu'), Batches(art, 8, seed=1), Path('run'), scorer=Scored(*distances))
    run.restore()
    run.begun = 0.
    for real, _ in run.batches:
        run.count(8, run.train_on(real))
        run.score_if_due(8)
    if saves: run.epoch_steps, run.epoch = 0, 1; run.save()
    return torch.load('run/checkpoints/best.pt')['frechet']


def test_the_best_state_stays_until_there_is_a_better_one(art):
    "Also where the checkpoints or the history end before it"
    config = {**replace(RECIPES['sketch'], width=4, latent_size=8, batch_size=8), 'size': 32, 'channels': 3, 'epochs': 2, 'minutes': None, 'mirror': False, 'seed': 1}
    assert scored(config, art, 80., 50., 60., saves=False) == 50, 'killed: no checkpoint has seen any of it'
    assert scored(config, art, 70., 75., 90.) == 50 and scored(config, art, 70., 49., 90.) == 49
    Path('run/history.csv').unlink()
    with pytest.warns(UserWarning, match='going on without'): assert scored(config, art, 55., 51., 53.) == 49
    best = torch.load('run/checkpoints/best.pt')
    torch.save({k: v for k, v in best.items() if k != 'frechet'}, 'run/checkpoints/best.pt')
    with pytest.warns(UserWarning): assert scored(config, art, 56., 30., 57.) == 30, 'of a version that did not write it: the history decides'
    Path('run/checkpoints/best.pt').write_bytes(b'x')
    with pytest.warns(UserWarning, match='best.pt is damaged'): assert scored(config, art, 58., 59., 60.) == 58


class Breaks(Callback):
    "Makes a weight nan, once, in the third epoch"
    done = False
    def after_epoch(self, run):
        self.grids = {**getattr(self, 'grids', {}), run.epoch: draw_grid(run)}
        if run.epoch == 3 and not self.done:
            self.done = True
            with torch.no_grad(): next(run.G.parameters()).fill_(torch.nan)


def test_after_a_rollback_grids_are_those_of_the_run_that_went_on(art, tiny):
    fit(art, 5, out='run', callbacks=[breaks := Breaks()], **{**tiny, 'lr': 0.02, 'ema': 0} if tiny['recipe'] == 'classic' else {**tiny, 'lr': 0.02})
    for epoch, drawn in breaks.grids.items():
        save_image(drawn, 'drawn.png', nrow=8)
        assert Path('drawn.png').read_bytes() == Path(f'run/generated/generated-images-{epoch:04d}.png').read_bytes(), epoch
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('artgan.trainer.most_rollbacks', 0)
        with pytest.raises(Diverged): fit(art, 5, out='ended', callbacks=[Breaks()], **{**tiny, 'lr': 0.02})
    assert [p.name for p in Path('ended/generated').iterdir()] == ['generated-images-0000.png'] and len([*Path('ended/snapshots').iterdir()]) == 1


def test_rows_from_before_a_rollback_are_not_judged_again(art):
    "A loss that float16 let overflow is no divergence of a run that has gone on in float32"
    class Overflows(Callback):
        def after_epoch(self, run):
            if run.epoch == 1: run.history.fetch(); run.history.rows[0] = (*run.history.rows[0][:3], np.inf, *run.history.rows[0][4:])
    how = dict(recipe='sketch', width=4, latent_size=8, batch_size=8, show=False, score_every=0, device='cpu', out='run')
    fit(art, 2, precision='float16', callbacks=[Overflows()], **how)
    run = fit(art, 6, precision='float32', callbacks=[Breaks()], **how)
    assert run.epochs == 6 and [kind for _, kind, _ in run.notes if kind.startswith('diverged')] == ['diverged 1']


def test_a_history_that_is_lost_at_the_end_of_an_epoch(art):
    how = dict(recipe='sketch', width=4, latent_size=8, batch_size=8, show=False, score_every=0, device='cpu', out='run')
    def end(self): self.save(); raise KeyboardInterrupt
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, 'end_epoch', end)
        with pytest.raises(KeyboardInterrupt): fit(art, 2, **how)
    Path('run/history.csv').unlink()
    with pytest.warns(UserWarning, match='going on without'), pytest.MonkeyPatch.context() as patch:
        patch.setattr('artgan.live.display', lambda *shown, **how: SimpleNamespace(update=lambda page: None))  # as in a notebook
        assert fit(art, 2, callbacks=[Watch()], **how).epochs == 2


def test_labels_that_were_heard_are_not_forgotten_with_more_epochs(art):
    heard = []
    class Hears(Callback):
        def after_epoch(self, run): heard.append(run.G.fade.item())
    how = dict(recipe='sketch', width=4, latent_size=8, batch_size=8, show=False, score_every=0, device='cpu', out='run', labels=['a', 'b']*10, least=1, label_ramp=(0, 0.5))
    fit(art, 4, callbacks=[Hears()], **how), fit(art, 40, callbacks=[Hears()], **how)
    assert heard[0] < 1 and heard[3:] == [1]*37
