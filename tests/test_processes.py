"Training with several processes: real ones, on this machine, with gloo."
import json
import math
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.distributed as dist
from PIL import Image
from torch import nn
from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

from artgan import callbacks, claims, train, trainer
from artgan import launch as launching
from artgan.augment import AUGMENTATIONS
from artgan.callbacks import Callback
from artgan.cli import main
from artgan.core import InputError
from artgan.data import Batches
from artgan.demo import demo_art
from artgan.launch import _killed, launch
from artgan.processes import Processes, share_batch_norm, sharing
from artgan.recipes import RECIPES
from artgan.runs import best_distance, load_checkpoint, read_about, read_history
from artgan.train import fit
from artgan.trainer import Trainer
from conftest import equal, forked, left_by, needs_fork, free_port, until

half, rest = tuple(AUGMENTATIONS)[:3], tuple(AUGMENTATIONS)[3:]
cpu = replace(RECIPES['cpu'], r1_interval=4, augment=half, adapt=rest, augment_ramp=(0., 0.5))
cases = {
    **{name: (replace(r, augment=half, adapt=rest, augment_ramp=(0., 0.5), r1_interval=min(r.r1_interval, 2 if name == 'aided' else 4)), {})
       for name, r in RECIPES.items() if name != 'gpu'},  # which is 'cpu' with other sizes
    'classic as it is': (RECIPES['classic'], {}),
    'unpaired': (replace(cpu, loss='logistic', reuse_fakes=False), {}),  # the last batch has more generated pictures than real ones
    'spectral': (replace(cpu, network='spectral', loss='hinge', r1_gamma=0.), {}),
    'residual': (replace(cpu, network='residual', reuse_fakes=False), {}),
    'classes': (replace(cpu, label_ramp=(0., 0.1)), {}),
    'classes, in parts': (replace(cpu, label_ramp=(0., 0.1), network='residual', loss='hinge'), dict(micro_batch=8)),
    'in parts': (cpu, dict(micro_batch=8)),
    'in parts, unpaired': (replace(cpu, network='residual', loss='logistic', reuse_fakes=False), dict(micro_batch=4))}


def steps_of(case, processes=None):
    "All that a run is after four epochs of float64, by one process or by several; after two, for what is no recipe of its own, and after one for `aided`"
    recipe, more = cases[case]
    last = 3 if case == 'aided' else 12 if case in RECIPES else 6  # `aided` takes many times as long
    size = 32 if recipe.network == 'dcgan' else 16
    classes = {'classes': {'a': 20, 'b': 20, 'c': 18}} if case.startswith('classes') else {}
    config = {**replace(recipe, width=4, latent_size=8, batch_size=24, ema=500 if recipe.ema else 0), **classes,
              'size': size, 'channels': 3, 'epochs': 8, 'minutes': None, 'mirror': True, 'seed': 3}
    n = 60 if more else 58  # the last batch of an epoch: 12 pictures, or two groups of four and two more, of which one of three processes has none
    batches = Batches(demo_art(n, size=size)[0], 24, seed=3)
    batches.labels = torch.arange(n) % 3
    run = Trainer(config, torch.device('cpu'), batches, precision='float32', processes=processes, **more)
    run.begun = 0.
    while run.step < last:
        for real, labels in run.batches:
            numbers = run.train_on(real.double().contiguous(memory_format=torch.channels_last), labels if classes else None)
            run.count(run.taken(real), numbers)
        run.epoch, run.epoch_steps = run.epoch + 1, 0
    nets = {name: getattr(run, name).state_dict() for name in ('G', 'D', 'G_ema') if getattr(run, name) is not None}
    return {**nets, 'numbers': [row[:-6] for row in (run.history.fetch(), run.history.rows)[1]], 'images': run.images,
            'adaptive': run.adaptive, 'latents': run.latents.get_state()}


def overflowing(processes):
    "Steps of float16 with a scale so large that gradients overflow: which were left out, and what became of the run"
    torch.set_default_dtype(torch.float32)
    config = {**replace(cpu, width=4, latent_size=8, batch_size=24), 'size': 16, 'channels': 3, 'epochs': 8, 'minutes': None, 'mirror': True, 'seed': 3}
    run = Trainer(config, torch.device('cpu'), Batches(demo_art(48, size=16)[0], 24, seed=3), precision='float16', processes=processes)
    run.scaler_d.load_state_dict({**run.scaler_d.state_dict(), 'scale': 2.**34})
    run.begun = 0.
    for _ in range(8):
        for real, _ in run.batches: run.count(run.taken(real), run.train_on(real))
    return {'skipped': run.skipped(), 'scale': run.scaler_d.get_scale(), **run.G.state_dict(), **run.D.state_dict()}


def one_of(rank, world, place):
    "A process that takes its steps of every case with the others; where they are two, of every recipe but `aided`"
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    dist.init_process_group('gloo', init_method=f'file://{place}/store', rank=rank, world_size=world)
    processes = Processes(rank, world)
    torch.save({case: steps_of(case, processes) for case in cases if world > 2 or case in {*RECIPES} - {'aided'}}, f'{place}/{rank}.pt')
    if world == 2: torch.save(overflowing(processes), f'{place}/half-{rank}.pt')
    processes.agree(0)
    dist.destroy_process_group()


@pytest.fixture
def exact():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)
    torch.set_num_threads(threads)


def far(a, b):
    "How far numbers are apart, as a part of themselves"
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        return max(far(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        return max(map(far, a, b))
    a, b = torch.as_tensor(a).double(), torch.as_tensor(b).double()
    assert torch.equal(a.isnan(), b.isnan())
    return ((a - b).nan_to_num().norm()/a.nan_to_num().norm().clamp(min=1e-9)).item()


@needs_fork
def test_two_or_three_processes_are_one_to_rounding(tmp_path, exact):
    "Weights, EMA, running statistics, history and random state after up to twelve steps, every recipe, with penalty and augmentation"
    assert replace(RECIPES['gpu'], width=24, batch_size=16) == RECIPES['cpu']
    workers = []
    for world in 2, 3:
        (place := tmp_path/f'{world}').mkdir()
        workers += [forked(one_of, rank, world, str(place)) for rank in range(world)]
    alone = {case: steps_of(case) for case in cases}
    for w in workers: w.join(300)
    assert [w.exitcode for w in workers] == [0]*5
    half = [torch.load(tmp_path/'2'/f'half-{rank}.pt', weights_only=False) for rank in range(2)]
    assert half[0]['skipped'][1] > 1 and far(*half) == 0, 'all leave out the same steps'
    for world in 2, 3:
        first, *others = [torch.load(tmp_path/f'{world}'/f'{rank}.pt', weights_only=False) for rank in range(world)]
        for case in first:
            off = far(alone[case], first[case])
            print(world, case, f'{off:.0e}')
            assert off < 1e-8 and math.isfinite(off), (world, case)
            for other in others: assert far(first[case], other[case]) == 0, 'all processes have the same numbers, to the bit'


folder = dict(size=16, epochs=2, batch_size=8, latent_size=8, width=4, device='cpu', recipe='sketch', seed=3)


@pytest.fixture
def pictures(tmp_path):
    (tmp_path/'pictures').mkdir()
    for i, x in enumerate(demo_art(20, size=16)[0]): Image.fromarray(x).save(tmp_path/'pictures'/f'{i:02}.png')
    return str(tmp_path/'pictures')


def worker(data, given, about, log):
    "What torchrun's child does: a `fit` like any other"
    torch.set_num_threads(1)
    os.environ.update(about, TORCHELASTIC_RUN_ID='test', TORCHELASTIC_USE_AGENT_STORE='True', MASTER_ADDR='localhost')
    given.pop('before', int)()
    with open(log, 'w', buffering=1) as f, redirect_stdout(f), redirect_stderr(f):
        try: fit(data, **given, show='text')
        except Exception as e: print(f'{type(e).__name__}: {e}'); raise SystemExit(3)


class Workers:
    "Processes as torchrun starts them, but forked, which is faster; the store is kept by this process"
    def __init__(self, world, data, **given):
        self.store = dist.TCPStore('localhost', 0, is_master=True, wait_for_workers=False)
        self.logs = [Path(f'log-{world}-{rank}-{random.random()}') for rank in range(world)]
        about = [dict(RANK=f'{r}', LOCAL_RANK=f'{r}', WORLD_SIZE=f'{world}', MASTER_PORT=f'{self.store.port}') for r in range(world)]
        self.all = [forked(worker, data, {**folder, **given}, a, str(log)) for a, log in zip(about, self.logs)]

    def join(self, seconds=120): # exit codes, and what each has said
        for w in self.all: w.join(seconds)
        return [w.exitcode for w in self.all], [log.read_text() if log.exists() else '' for log in self.logs]

    def wait_for(self, text):
        "Until the first one has printed this"
        until = time.monotonic() + 120
        while not (self.logs[0].exists() and text in self.logs[0].read_text()):
            assert time.monotonic() < until and all(w.is_alive() for w in self.all), self.join(0)
            time.sleep(0.05)


def test_on_gpus_a_process_without_pictures_sends_its_statistics_in_the_type_of_the_others(monkeypatch):
    "PyTorch's layer gathers what it does not convert, and a last batch of few pictures leaves some processes without one"
    class OnGPU(torch.Tensor): is_cuda = True
    given = []
    monkeypatch.setattr(nn.SyncBatchNorm, 'forward', lambda self, x: given.append(x) or x)
    net = nn.BatchNorm2d(3)
    share_batch_norm(net)
    with sharing(object()):
        for n in (0, 2): net(torch.zeros(n, 3, 4, 4, dtype=torch.float16).as_subclass(OnGPU))
    assert [(len(x), x.dtype) for x in given] == [(0, torch.float32), (2, torch.float16)]


@needs_fork
def test_a_run_goes_on_with_another_number_of_processes(tmp_path, pictures):
    "Begun with two, then alone, with three, and alone: one folder, one history, written by one process; and with labels, which each finds for itself"
    labels = dict(labels={f'{i:02}.png': 'ab'[i % 2] for i in range(20)}, least=1)
    given = {**folder, 'batch_size': 12, **labels}
    for n, epochs in zip((2, 1, 3, 1), (1, 2, 3, 4)):
        if n == 1: fit(pictures, out='run', **{**given, 'epochs': epochs}, show=False)
        else:
            codes, said = Workers(n, pictures, out='run', batch_size=12, epochs=epochs, **labels).join()
            assert codes == [0]*n and f'Epoch [{epochs}/{epochs}]' in said[0] and not any(said[1:]), said
    once = fit(pictures, out='once', **{**given, 'epochs': 4}, show=False)
    history = read_history('run')
    assert history['step'].tolist() == [*range(1, 9)] and history['images'].tolist() == once.history['images'].tolist()
    assert abs(history['loss_d'] - once.history['loss_d']).max() < 0.02, 'the same run, but for rounding'
    assert [s.get('processes') for s in read_about('run')['sessions']] == [2, None, 3, None]
    assert sorted(p.name for p in Path('run').iterdir()) == sorted(p.name for p in Path('once').iterdir())


def marked(name, owner, what, result=None):
    "Let a function leave a file when it is called, and take a moment; with a result, it gives that"
    function = getattr(owner, what)
    def slow(*args, **kwargs):
        if name != 'saving' or '/step-' in str(args[1]): # the file is written, and has not got its name
            Path(f'at-{name}').touch()
            time.sleep(0.1)
        return result(*args) if result else function(*args, **kwargs)
    setattr(owner, what, slow)


def arrived():
    "Leave a file where a process that is not the first waits for what it is told"
    follow = train._follow
    def slow(*args):
        Path(f'here-{os.environ["RANK"]}').touch()
        return follow(*args)
    train._follow = slow


def eventful():
    "Checkpoint, grid and scores after every epoch; the moments of a run can be told from outside"
    trainer.save_after_epoch = 0
    arrived()
    callbacks.Scorer.due = lambda self, images, new: images % 20 == 0
    callbacks.grid_is_due = lambda *_: True
    def scores(self, run): return dict(kid=1., frechet=1000. - run.images, precision=0., recall=0., colour=0.)
    for name, owner, what, *result in (('decoding', train, 'open_data'), ('scores', callbacks.Scorer, '__call__', scores),
                                       ('grids', callbacks, 'save_samples'), ('saving', os, 'replace')): marked(name, owner, what, *result)


def kill(workers, *ranks):
    "Kill them, and tell the others to end, as torchrun does; what each has said, and seconds until all had ended"
    others, begun = [w for rank, w in enumerate(workers.all) if rank not in ranks], time.monotonic()
    for w in others if len(ranks) > 1 else []: os.kill(w.pid, signal.SIGSTOP)  # they are not to see one dead and the next still alive
    for rank in ranks: os.kill(workers.all[rank].pid, signal.SIGKILL)
    for rank in ranks: workers.all[rank].join()
    for w in others if len(ranks) > 1 else []: os.kill(w.pid, signal.SIGCONT)
    time.sleep(0.1)
    for w in others:
        if w.is_alive(): os.kill(w.pid, signal.SIGTERM)
    codes, said = workers.join(60)
    assert None not in codes, 'a process is left behind'
    return codes, said, time.monotonic() - begun


def check_named(workers, codes, said, ranks, early=False):
    "One of the others has said which were killed, and no other. Early, before all have met, nobody knows, and torchrun's own process says it"
    found = [line for log in said for line in log.split('\n') if line.startswith('Lost: ') or 'artgan: ' in line]
    others = {code for rank, code in enumerate(codes) if rank not in ranks}
    if {codes[rank] for rank in ranks} != {-signal.SIGKILL}: return False
    if early and others <= {-signal.SIGTERM, 128 + signal.SIGTERM}: return not found
    names = ', '.join(f'process {r} (number {workers.all[r].pid} on {socket.gethostname()})' for r in ranks)
    return len(found) == 1 and others <= {1, 3} and f"{names} {'has' if len(ranks) == 1 else 'have'} ended without a word" in found[0]


KILLS = int(os.environ.get('ARTGAN_KILLS', 0))  # the long version: ARTGAN_KILLS=60


@needs_fork
def test_a_run_that_is_killed_again_and_again_ends_as_an_undisturbed_one(tmp_path, pictures):
    "One of three processes, each once or more, at chosen moments and in the long version at random ones: it is named, and nothing is lost"
    given = dict(batch_size=12, epochs=3, before=eventful)
    begun = time.monotonic()
    codes, said = Workers(3, pictures, out='undisturbed', **given).join()
    length, wanted = time.monotonic() - begun, left_by('undisturbed')
    assert codes == [0]*3, said
    chosen, rng, ends = [(1, 'decoding'), (2, 'grids'), (0, 'saving')], random.Random(18), []
    chosen += [(k % 3, ('grids', 'scores', 'saving', 'decoding', None, None, None, None)[k//3 % 8]) for k in range(KILLS)]
    for k, (rank, moment) in enumerate(chosen):
        for mark in [*Path().glob('at-*'), *Path().glob('here-*')]: mark.unlink()
        workers = Workers(3, pictures, out='run', **given)
        until = time.monotonic() + (60 if moment else rng.uniform(0, 0.8*length))
        while time.monotonic() < until and not (Path(f'at-{moment}').exists() and len([*Path().glob('here-*')]) == 2) and all(w.exitcode is None for w in workers.all): time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.1))
        if workers.all[rank].exitcode is None:
            codes, said, took = kill(workers, rank)
            over = moment is None and {*codes} <= {-signal.SIGKILL, 0}  # it had nothing left to do
            assert over or check_named(workers, codes, said, [rank], early=moment is None), (k, rank, moment, codes, said)
            ends.append(took)
            print(f'{k}: process {rank} at {moment or "a random moment"}, {took:.1f} s', codes)
            if Path('run/checkpoints').exists(): load_checkpoint('run')
        if k % 3 == 2 or k == len(chosen) - 1:
            codes, said = Workers(3, pictures, out='run', **given).join()
            assert codes == [0]*3 and equal(left_by('run'), wanted), (k, codes, said)
            shutil.rmtree('run')
    print(f'{length:.1f} s undisturbed; {len(ends)} kills, all had ended after {min(ends):.1f} to {max(ends):.1f} s')
    assert max(ends) < 30


@needs_fork
def test_two_of_five_are_killed_at_once(tmp_path, pictures):
    workers = Workers(5, pictures, out='run', batch_size=20, epochs=100_000)
    workers.wait_for('Epoch [3/')
    codes, said, took = kill(workers, 1, 3)
    assert check_named(workers, codes, said, [1, 3]) and took < 30, (codes, said, took)


def on_machines():
    "As if each process had a machine of its own"
    name = f'gpu{os.environ["RANK"]}'
    socket.gethostname = lambda: name


@needs_fork
def test_a_process_of_another_machine_is_killed(tmp_path, pictures):
    "Nobody sees that it is dead, but the others answer and it does not: it is named once on each machine, and no other"
    workers = Workers(3, pictures, out='run', batch_size=12, epochs=100_000, before=on_machines)
    workers.wait_for('Epoch [3/')
    os.kill(workers.all[1].pid, signal.SIGKILL)
    codes, said = workers.join(60)
    assert codes[1] == -signal.SIGKILL and {codes[0], codes[2]} <= {1, 3}, (codes, said)
    for log in said[0], said[2]: assert f': process 1 (number {workers.all[1].pid} on gpu1) has ended without a word' in log, said


def of_one_name():
    "As two containers that have the same name"
    mark = f'machine {os.environ["RANK"]}'
    claims.this_machine = launching.this_machine = lambda: mark
    if os.environ['RANK'] == '1': launching.os = SimpleNamespace(**{**vars(os), 'getpid': lambda: 2**22 + 1, 'kill': lambda *args: None})  # it has a number that nobody has on the other


@needs_fork
def test_machines_may_have_one_name(pictures):
    "Nobody is taken for dead because there is no process of that number here"
    codes, said = Workers(2, pictures, out='run', before=of_one_name).join()
    assert codes == [0, 0], said


@needs_fork
def test_all_have_the_networks_of_a_run_that_is_over(pictures):
    for _ in range(2): codes, said = Workers(2, pictures, out='run', before=write_weights).join()
    assert codes == [0, 0], said
    assert equal(*(torch.load(f'weights-{rank}.pt') for rank in range(2)))


def write_weights():
    real = train.fit.__wrapped__
    @launching.together
    def fit(*args, **more):
        run, torch_state = real(*args, **more), torch.get_rng_state()
        torch.save([run.generator.state_dict(), torch_state], f'weights-{os.environ["RANK"]}.pt')
        return run
    globals()['fit'] = fit


def other_labels():
    if os.environ['RANK'] == '1': globals()['fit'] = partial(train.fit, labels=lambda file: 'ab'[int(file[:2]) % 2 == 0], least=1)
    else: globals()['fit'] = partial(train.fit, labels=lambda file: 'ab'[int(file[:2]) % 3 == 0], least=1)


@needs_fork
def test_other_labels_on_another_machine_are_refused(pictures):
    codes, said = Workers(2, pictures, out='run', before=other_labels).join()
    assert codes[1] in (2, 3) and 'process 1 has other labels than the first one' in ''.join(said), (codes, said)
    assert not Path('run/checkpoints').exists() or not [*Path('run/checkpoints').iterdir()]


def other_arguments():
    if os.environ['RANK'] == '1': globals()['fit'] = lambda data, **more: train.fit(data, **{**more, 'seed': 9, 'hold_out': 0.5, 'crop': 'pad'})


@needs_fork
def test_the_first_process_decides_what_is_held_out(pictures):
    for name, before in (('one', int), ('other', other_arguments)): assert Workers(2, pictures, out=name, hold_out=0.2, before=before).join()[0] == [0, 0]
    assert equal(load_checkpoint('one')['G'], load_checkpoint('other')['G'])


@needs_fork
def test_what_a_later_process_alone_has_to_say_is_said(pictures):
    "While the first one is still at work, and torchrun tells the others to end"
    workers = Workers(3, pictures, out='run', batch_size=12, before=refused_by_the_last)
    until(lambda: workers.all[2].exitcode is not None or any('cannot be' in log.read_text() for log in workers.logs if log.exists()) or Path('refusing').exists())
    time.sleep(0.5)
    assert workers.all[2].exitcode is None, workers.join()
    os.kill(workers.all[2].pid, signal.SIGTERM)  # as torchrun does, once another has ended
    codes, said = workers.join()
    assert any('InputError: this cannot be' in log for log in said), (codes, said)


def refused_by_the_last():
    if os.environ['RANK'] == '2':
        def refuse(*args): Path('refusing').touch(); raise InputError('this cannot be')
        train._follow = refuse
    if os.environ['RANK'] == '0':
        tell = train._tell_others
        def slow(*args, **more): time.sleep(3); tell(*args, **more)
        train._tell_others = slow


@pytest.mark.skipif(os.name == 'nt', reason='Windows has other signals')
def test_starting_processes_leaves_the_handlers_of_signals(monkeypatch):
    signals = signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT
    before, variables = [*map(signal.getsignal, signals)], dict(os.environ)
    monkeypatch.setattr(sys, 'executable', '/bin/true')
    assert launch(['train'], 1) == 0
    assert [*map(signal.getsignal, signals)] == before and dict(os.environ) == variables


@pytest.mark.skipif(not Path('/proc/self').exists(), reason='this system does not list the children of a process')
def test_a_process_is_killed_before_it_knows_the_others(tmp_path, pictures, started):
    "While modules are loaded: the process that started them says which, and ends with 1"
    run = started([sys.executable, '-m', 'artgan.cli', 'train', pictures, '--out', 'run', '--processes', '2', *words], stderr=subprocess.PIPE, text=True)
    while len(found := children(run.pid)) < 2:
        assert run.poll() is None
        time.sleep(0.01)
    os.kill(found[1], signal.SIGKILL)
    said = [line for line in run.communicate(timeout=300)[1].split('\n') if line.startswith('artgan: ')]
    assert run.returncode == 1 and len(said) == 1 and f'process 1 (number {found[1]} on {socket.gethostname()}) by SIGKILL was ended' in said[0], said
    assert not any(map(alive, found)) and not Path('run').exists()


def children(pid): return [int(p) for p in Path(f'/proc/{pid}/task/{pid}/children').read_text().split()]


def alive(pid): return Path(f'/proc/{pid}').exists()


@pytest.mark.parametrize('codes, named', [
    ({1: -9, 0: -15}, '1'), ({1: -9, 0: 143}, '1'), ({1: -15, 0: -15}, '1'), ({0: -9, 2: -11, 1: -15}, '02'), ({0: -9, 1: -9}, '01'),
    ({1: -9, 0: 1}, ''), ({0: 1, 1: -15}, ''), ({0: 143, 1: -15}, ''), ({0: 2, 1: 2}, ''), ({0: 143, 1: 143}, '')])
def test_what_torchrun_saw(codes, named):
    "Exit codes in the order in which torchrun saw them: who was killed, where no other process has said it"
    found = _killed({r: ProcessFailure(local_rank=r, pid=100 + r, exitcode=code, error_file='none') for r, code in codes.items()})
    assert ''.join(re.findall(r'process (\d) \(number', found or '')) == named


def test_batches_tell_where_they_stand_as_soon_as_they_know():
    "The first process reads a checkpoint and tells the others at once where the data stand: otherwise they take other pictures than it does"
    first, other = (Batches(demo_art(20, size=16)[0], 8, seed=seed) for seed in (1, 2))
    for k, _ in zip(range(4), (b for _ in range(2) for b in first)): pass
    assert first.state_dict()['given'] == 1
    other.load_state_dict(first.state_dict())
    assert equal(other.state_dict(), first.state_dict())


class Sleeper(Callback):
    "Takes no notice of anything"
    def after_epoch(self, run):
        if run.epoch == 2: time.sleep(100)


@needs_fork
def test_a_process_that_takes_no_notice_is_ended(tmp_path, pictures):
    "As one that waits for a GPU would be: another one has been killed meanwhile"
    workers = Workers(2, pictures, out='run', epochs=100_000, callbacks=[Sleeper()])
    workers.wait_for('Epoch [2/')
    os.kill(workers.all[1].pid, signal.SIGKILL)
    begun = time.monotonic()
    workers.all[1].join()  # as torchrun asks after its children
    codes, said = workers.join(60)
    assert time.monotonic() - begun < 30 and codes == [1, -signal.SIGKILL]
    assert f'process 1 (number {workers.all[1].pid} on {socket.gethostname()}) has ended without a word' in said[0]
    assert load_checkpoint('run')['step'] >= 0


@needs_fork
@pytest.mark.parametrize('asked', [[0], [1], [0, 1]])
def test_who_asks_one_to_stop_stops_all(asked, tmp_path, pictures):
    workers = Workers(2, pictures, out='run', epochs=100_000)
    workers.wait_for('Epoch [2/')
    for rank in asked: os.kill(workers.all[rank].pid, signal.SIGTERM)
    codes, said = workers.join(30)
    assert codes == [0, 0] and 'the same call goes on from here' in said[0], said
    assert load_checkpoint('run')['step'] == read_history('run')['step'][-1] and Path('run/G.safetensors').exists()


@needs_fork
def test_what_cannot_be_done_is_refused_before_anything_is_written(tmp_path, pictures):
    codes, said = Workers(3, pictures, out='run').join(300)
    assert codes[0] == 3 and 'a batch of 8 has 2 groups of 4' in said[0] and 'Take 2 processes, or in a new run batch_size=12' in said[0]
    assert not any(said[1:]) and all(codes) and not Path('run').exists()
    codes, said = Workers(2, demo_art(20, size=16)[0], out='run', size=None).join(300)
    assert codes[0] == 3 and 'cannot travel to other processes' in said[0] and not Path('run').exists()
    codes, said = Workers(2, pictures, out='run', batch_size=3).join(300)
    assert codes[0] == 3 and 'a batch of 3 has 0 groups of 4' in said[0] and 'Take one process, or in a new run batch_size=8' in said[0], said
    assert fit(pictures, out='small', **{**folder, 'batch_size': 3, 'epochs': 1}, show=False).epochs == 1 and not Path('run').exists()
    codes, said = Workers(2, 'nowhere', out='run').join(300)
    assert codes[0] == 3 and 'nowhere does not exist' in said[0] and not any(said[1:]) and not Path('run').exists()


def test_machines_that_do_not_meet(tmp_path):
    with socket.socket() as taken:
        taken.bind(('', 0))
        taken.listen()
        port = taken.getsockname()[1]
        for meet, machine, why in ((f'localhost:{port}', 0, f'port {port} cannot be used'), ('gpu1', 0, "meet is 'gpu1'"),
                                   ('localhost:29400', 2, 'counted from 0 to 1'), ('nowhere.invalid:29400', 1, 'did not come together'),
                                   (f'localhost:{free_port()}', 0, 'did not come together')):
            with pytest.raises(InputError, match=why): launch(['train', 'x'], 1, 2, machine, meet, wait=1)
    with pytest.raises(InputError, match='processes is 0'): launch(['train', 'x'], 0)


words = ['--size', '16', '--batch-size', '8', '--latent-size', '8', '--width', '4', '--device', 'cpu', '--epochs', '2', '--recipe', 'sketch']


def test_two_machines_as_two_torchruns(tmp_path, pictures, started):
    "Two of torchrun's own, on this machine, with one process each: started by hand, as it is documented"
    port = free_port()
    torchrun = [sys.executable, '-m', 'torch.distributed.run', '--nnodes=2', '--nproc-per-node=1', '--master-addr=localhost', f'--master-port={port}']
    both = [started([*torchrun, f'--node-rank={k}', '-m', 'artgan.cli', 'train', pictures, '--out', 'run', *words],
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for k in range(2)]
    said = [p.communicate(timeout=300)[0] for p in both]
    assert [p.returncode for p in both] == [0, 0], said
    assert '2 epochs, 6 steps, in run' in said[0] and not {'epoch', 'artgan:', 'lost'} & {*re.findall(r'[\w:]+', said[1].lower())}, said  # it may warn that the first torchrun has left before it
    assert json.loads(Path('run/config.json').read_text())['sessions'][0]['processes'] == 2


at_exit = """import atexit, os
from pathlib import Path
if 'RANK' in os.environ: atexit.register(lambda: Path(f"threads-{os.environ['RANK']}").write_text(' '.join(
    p.read_text().strip() for p in Path('/proc/self/task').glob('*/comm'))))
"""


@pytest.mark.parametrize('n', [1, 2])
def test_the_command_starts_torchrun(n, tmp_path, pictures, monkeypatch):
    "Its processes leave Python with no thread that still listens to the others: it could bring them down after a run that is whole"
    (tmp_path/'early').mkdir()
    (tmp_path/'early'/'sitecustomize.py').write_text(at_exit)  # Python runs it at its start
    monkeypatch.setenv('PYTHONPATH', os.pathsep.join([str(tmp_path/'early'), os.environ.get('PYTHONPATH', '')]))
    done = subprocess.run([sys.executable, '-m', 'artgan.cli', 'train', pictures, '--out', 'run', '--processes', f'{n}', *words],
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and '2 epochs, 6 steps, in run' in done.stdout, done.stderr[-3000:]
    assert json.loads(Path('run/config.json').read_text())['sessions'][0].get('processes', 1) == n
    if Path('/proc/self/task').exists():
        left = [Path(f'threads-{rank}').read_text().split() for rank in range(n)]
        assert all(names and not any('gloo' in name for name in names) for names in left), left


def test_two_machines_by_the_command(tmp_path, pictures, started):
    "Two commands on this machine, which meet at a port, with one process each"
    command = [sys.executable, '-m', 'artgan.cli', 'train', pictures, '--out', 'run', *words, '--machines', '2', '--meet', f'127.0.0.1:{free_port()}']
    both = [started([*command, '--machine', f'{k}'], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for k in range(2)]
    said = [p.communicate(timeout=300)[0] for p in both]
    assert [p.returncode for p in both] == [0, 0], said
    assert '2 epochs, 6 steps, in run' in said[0] and not said[1].strip(), said
    assert json.loads(Path('run/config.json').read_text())['sessions'][0]['processes'] == 2


def test_what_the_command_refuses(capsys):
    "Without an end it would start itself, or leave out what was meant"
    for args, why in ((['train', 'x', '--meet', 'gpu1:29400'], 'go with --machines'), (['train', 'x', '--machine', '0'], 'go with --machines'),
                      (['train', 'x', '--machines', '1', '--machine', '1'], 'counted from 0 to 0'), (['bench', '--processes', '1'], 'pass 2 or more')):
        assert main(args) == 2 and why in capsys.readouterr().err
    for name in 'processes', 'machines', 'meet':
        with pytest.raises(InputError, match=f'{name}: .*!artgan train my-pictures --processes 2'): fit('pictures', **{name: 2})


@needs_fork
def test_a_run_that_diverges_goes_back_in_all_processes(tmp_path, pictures):
    codes, said = Workers(2, pictures, out='run', lr=1e30, epochs=50).join(300)
    assert codes[0] == 3 and 'for the 4th time, and stops here' in said[0] and codes[1] == 1 and not said[1], said
    assert len([line for line in Path('run/notes.txt').read_text().splitlines() if 'It went back to step' in line]) == 4


def scores_every_epoch():
    "The first process scores at the end of each epoch, every time better, and a callback keeps a number of numpy's"
    class Falls:
        def __init__(self, *args): self.distances = iter(range(100, 0, -1))
        def due(self, images, new): return images % 20 == 0
        def __call__(self, run): return dict(kid=1., frechet=float(next(self.distances)), precision=0., recall=0., colour=0.)
    train.Scorer = Falls


class Remembers(Callback):
    def state_dict(self): return {'best': np.float64(2.5)}


@needs_fork
def test_a_run_that_is_scored_and_remembers(pictures):
    "Scores at the end of an epoch, where all processes look at their numbers together, and states that the first alone has"
    for epochs in (3, 4):
        codes, said = Workers(2, pictures, out='run', epochs=epochs, before=scores_every_epoch, callbacks=[Remembers()]).join()
        assert codes == [0, 0], said
    assert best_distance('run') < 100 and load_checkpoint('run')['epoch'] == 4


@needs_fork
def test_the_clock_of_the_first_process_ends_a_run_of_minutes(tmp_path, pictures):
    codes, said = Workers(2, pictures, out='run', epochs=None, minutes=0.05).join(300)
    assert codes == [0, 0] and 3 <= load_checkpoint('run')['seconds'] < 20, said
