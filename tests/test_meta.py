"""A step reads no number back. Tensors on torch's `meta` device have none, so a step that trains there looks at none and computes with no tensor of
another device. On a GPU, which works behind the program's back, every such look would make the two wait for each other.

What this cannot see: autocast and the fused optimiser, which `meta` does not have; uploads to the device; and single numbers from the CPU, which torch
takes anywhere."""
import time

import pytest
import torch

import artgan.step
from artgan.augment import AUGMENTATIONS
from artgan.losses import LOSSES
from artgan.models import NETWORKS, discriminator
from artgan.recipes import RECIPES
from artgan.trainer import Trainer

meta = torch.device('meta')


def steps_on_meta(recipe, steps=4, micro_batch=None, **changes):
    "All that `fit` does between two readings of history, with every augmentation, and with a penalty on every second step where the recipe has one"
    small = dict(width=8, batch_size=8, latent_size=16, size=32, channels=3, seed=1, epochs=2, minutes=None, mirror=True)
    config = {**recipe, **small, 'augment': tuple(AUGMENTATIONS), 'adapt': tuple(AUGMENTATIONS), 'augment_ramp': (0., 0.), 'r1_interval': 2, **changes}
    run = Trainer(config, meta, range(steps), micro_batch=micro_batch)
    run.begun = time.perf_counter()
    for _ in range(steps):
        real = torch.empty(8, config['channels'], 32, 32, device=meta).contiguous(memory_format=torch.channels_last)
        run.count(len(real), run.train_on(real, *([torch.zeros(8, dtype=torch.int64, device=meta)] if 'classes' in config else [])))
    assert run.step == steps and all(p.is_meta for p in run.G.parameters())
    return run


@pytest.mark.parametrize('loss', LOSSES)
@pytest.mark.parametrize('name', RECIPES)
def test_no_step_reads_back(name, loss):
    steps_on_meta(RECIPES[name], loss=loss)


@pytest.mark.parametrize('network', NETWORKS)
def test_no_network_reads_back(network): steps_on_meta(RECIPES['cpu'], network=network)


@pytest.mark.parametrize('network', NETWORKS)
def test_networks_without_data_are_those_with(network):
    "The same names, shapes and types, and nobody's random numbers are drawn for them"
    made, before = {}, torch.get_rng_state()
    for device, seed in (('cpu', 0), ('meta', None)):
        with torch.device(device): D = discriminator(network, 64, width=8, seed=seed)
        made[device] = [(k, w.shape, w.dtype) for k, w in D.state_dict().items()]
    assert made['meta'] == made['cpu'] and all(w.is_meta for w in [*D.parameters(), *D.buffers()])
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize('loss', LOSSES)
@pytest.mark.parametrize('network', ['fine', 'residual'])  # a generator with batch norm, and one without
def test_nor_does_a_step_in_parts(network, loss): steps_on_meta(RECIPES['gpu'], network=network, loss=loss, micro_batch=4)


@pytest.mark.parametrize('micro_batch', [None, 4])
@pytest.mark.parametrize('name', ['cpu', 'gpu', 'sketch', 'aided'])
def test_nor_with_labels(name, micro_batch): steps_on_meta(RECIPES[name], classes={'a': 9, 'b': 9}, micro_batch=micro_batch)


def test_nor_with_transparency(): steps_on_meta(RECIPES['cpu'], channels=4)


def test_a_look_at_a_number_is_noticed(monkeypatch):
    real = artgan.step._numbers
    def looking(loss, real_logits, fake_logits):
        real_logits.mean().item()
        return real(loss, real_logits, fake_logits)
    monkeypatch.setattr(artgan.step, '_numbers', looking)
    with pytest.raises(RuntimeError, match='[Mm]eta'): steps_on_meta(RECIPES['cpu'])


def test_a_tensor_of_another_device_is_noticed(monkeypatch):
    real = artgan.step._numbers
    monkeypatch.setattr(artgan.step, '_numbers', lambda loss, *logits: real(loss, *(x + torch.ones(x.shape) for x in logits)))
    with pytest.raises(RuntimeError, match='device'): steps_on_meta(RECIPES['cpu'])
