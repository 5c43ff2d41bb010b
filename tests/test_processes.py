"Training with several processes: real ones, on this machine, with gloo."
import math
from dataclasses import replace

import pytest
import torch
import torch.distributed as dist

from artgan.augment import AUGMENTATIONS
from artgan.data import Batches
from artgan.demo import demo_art
from artgan.processes import Processes
from artgan.recipes import RECIPES
from artgan.trainer import Trainer
from conftest import forked, needs_fork

half, rest = tuple(AUGMENTATIONS)[:3], tuple(AUGMENTATIONS)[3:]
cpu = replace(RECIPES['cpu'], r1_interval=4, augment=half, adapt=rest, augment_ramp=(0., 0.5))
cases = {
    **{name: (replace(r, augment=half, adapt=rest, augment_ramp=(0., 0.5), r1_interval=min(r.r1_interval, 4)), {}) for name, r in RECIPES.items()
       if name != 'gpu'},  # which is 'cpu' with other sizes
    'classic as it is': (RECIPES['classic'], {}),
    'unpaired': (replace(cpu, loss='logistic', reuse_fakes=False), {}),  # the last batch has more generated pictures than real ones
    'spectral': (replace(cpu, network='spectral', loss='hinge', r1_gamma=0.), {}),
    'residual': (replace(cpu, network='residual', reuse_fakes=False), {}),
    'in parts': (cpu, dict(micro_batch=8)),
    'in parts, unpaired': (replace(cpu, network='residual', loss='logistic', reuse_fakes=False), dict(micro_batch=4))}


def twenty_steps(case, processes=None):
    "All that a run is after twenty steps of float64, by one process or by several"
    recipe, more = cases[case]
    size = 32 if recipe.network == 'dcgan' else 16
    config = {**replace(recipe, width=4, latent_size=8, batch_size=24, ema=500 if recipe.ema else 0),
              'size': size, 'channels': 3, 'epochs': 8, 'minutes': None, 'mirror': True, 'seed': 3}
    n = 60 if more else 58  # the last batch of an epoch: 12 pictures, or two groups of four and two more, of which one of three processes has none
    run = Trainer(config, torch.device('cpu'), Batches(demo_art(n, size=size)[0], 24, seed=3), precision='float32', processes=processes, **more)
    run.begun = 0.
    while run.step < 20:
        for real, _ in run.batches:
            numbers = run.train_on(real.double().contiguous(memory_format=torch.channels_last))
            run.count(run.taken(real), numbers)
        run.epoch, run.epoch_steps = run.epoch + 1, 0
    nets = {name: getattr(run, name).state_dict() for name in ('G', 'D', 'G_ema') if getattr(run, name) is not None}
    return {**nets, 'numbers': [row[:-6] for row in (run.history.fetch(), run.history.rows)[1]], 'images': run.images,
            'adaptive': run.adaptive, 'latents': run.latents.get_state()}


def one_of(rank, world, place):
    "A process that takes twenty steps of every case with the others"
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    dist.init_process_group('gloo', init_method=f'file://{place}/store', rank=rank, world_size=world)
    processes = Processes(rank, world)
    torch.save({case: twenty_steps(case, processes) for case in cases}, f'{place}/{rank}.pt')
    processes.agree(0)
    import time; print('CPU', rank, world, time.process_time(), processes.waited, flush=True)
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
    "Weights, EMA, running statistics, history and random state after twenty steps, every recipe, with penalty and augmentation"
    assert replace(RECIPES['gpu'], width=24, batch_size=16) == RECIPES['cpu']
    workers = []
    for world in 2, 3:
        (place := tmp_path/f'{world}').mkdir()
        workers += [forked(one_of, rank, world, str(place)) for rank in range(world)]
    alone = {case: twenty_steps(case) for case in cases}
    for w in workers: w.join(120)
    assert [w.exitcode for w in workers] == [0]*5
    for world in 2, 3:
        first, *others = [torch.load(tmp_path/f'{world}'/f'{rank}.pt', weights_only=False) for rank in range(world)]
        for case in cases:
            off = far(alone[case], first[case])
            print(world, case, f'{off:.0e}')
            assert off < 1e-8 and math.isfinite(off), (world, case)
            for other in others: assert far(first[case], other[case]) == 0, 'all processes have the same numbers, to the bit'
