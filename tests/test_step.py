"Our training step against the article's two functions."
from functools import partial

import pytest
import torch
from torch import nn

from artgan.costs import count_macs
from artgan.losses import TwiceDifferentiable
from artgan.models import build_pair, discriminator, generator
from artgan.step import adam, logits_of, train_discriminator, train_generator, train_step, train_step_in_parts
from artgan.recipes import RECIPES


def players(size, dtype):
    torch.manual_seed(1)
    return generator(size=size, latent_size=16, width=4).to(dtype), discriminator(size=size, width=4).to(dtype)


def both(size, dtype, steps, sizes_of_batches):
    "Losses and networks after the same steps, in the article's way and in ours"
    torch.manual_seed(0)
    batch = sizes_of_batches[0]
    reals = [torch.rand(sizes_of_batches[i % len(sizes_of_batches)], 3, size, size, dtype=dtype)*2 - 1 for i in range(steps)]
    latents = [torch.randn(2, batch, 16, 1, 1, dtype=dtype) for _ in range(steps)]

    G, D = players(size, dtype)
    with_sigmoid = nn.Sequential(D, nn.Sigmoid())
    opt_g, opt_d = (torch.optim.Adam(net.parameters(), lr=0.0002, betas=(0.5, 0.999)) for net in (G, D))
    theirs = []
    for real, (z_d, z_g) in zip(reals, latents):
        loss_d, real_score, fake_score = train_discriminator(real, opt_d, G, with_sigmoid, z_d)
        theirs.append([train_generator(opt_g, G, with_sigmoid, z_g), loss_d, real_score, fake_score])

    G2, D2 = (net.to(memory_format=torch.channels_last) for net in players(size, dtype))
    opt_g2, opt_d2 = adam(G2), adam(D2)
    ours = torch.stack([train_step(G2, D2, opt_g2, opt_d2, real.to(memory_format=torch.channels_last), *z)[:4] for real, z in zip(reals, latents)])
    return torch.tensor(theirs, dtype=dtype), ours, (G, D), (G2, D2)


@pytest.mark.parametrize('size', [32, 64, 128])
def test_same_mathematics_in_float64(size):
    "Ten steps (three where the pictures are large), every third batch short: losses, scores, weights and running statistics agree"
    theirs, ours, nets, nets2 = both(size, torch.float64, 10 if size < 128 else 3, [6, 6, 3])
    assert torch.allclose(theirs, ours, rtol=1e-7)
    for a, b in zip(nets, nets2):
        for (name, x), y in zip(a.state_dict().items(), b.state_dict().values()): assert torch.allclose(x.double(), y.double(), rtol=1e-6, atol=1e-8), name


def test_float32_agrees_within_its_precision():
    theirs, ours, nets, nets2 = both(64, torch.float32, 3, [16])
    assert torch.allclose(theirs, ours, rtol=1e-3)
    apart = torch.cat([(x - y).abs().flatten() for a, b in zip(nets, nets2) for x, y in zip(a.parameters(), b.parameters())])
    assert apart.mean() < 3*0.0002/20, 'Adam moves a weight by about 0.0002 a step'


def test_a_step_changes_both_networks_and_leaves_no_gradient_in_the_discriminator_from_the_generators_turn():
    G, D = players(32, torch.float32)
    before = [p.clone() for net in (G, D) for p in net.parameters()]
    real, z = torch.rand(8, 3, 32, 32)*2 - 1, torch.randn(2, 8, 16, 1, 1)
    train_step(G, D, adam(G), adam(D), real, *z)
    assert all(not torch.equal(a, b) for a, b in zip(before, [p for net in (G, D) for p in net.parameters()]))
    after_d = [p.grad.clone() for p in D.parameters()]
    G2, D2 = players(32, torch.float32)
    from artgan.losses import discriminator_loss
    discriminator_loss(D2(real), D2(G2(z[0]).detach())).backward()
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(after_d, [p.grad for p in D2.parameters()]))
    assert all(p.requires_grad for p in D.parameters())


@pytest.mark.parametrize('real, fake', [(8, 8), (8, 6), (6, 8), (5, 5), (4, 8)])
def test_no_logit_depends_on_pictures_of_the_other_kind(real, fake):
    "Whatever the lengths of the two batches, one pass or two, D says what it says of each alone"
    torch.manual_seed(0)
    D = discriminator('plain', size=32, width=4).double()
    real, fake = (torch.rand(n, 3, 32, 32).double()*2 - 1 for n in (real, fake))
    for a, b in zip(logits_of(D, real, fake), (D(real), D(fake))): assert torch.allclose(a, b)


def test_numbers_are_not_rounded_to_bfloat16():
    "Probabilities come from logits in float32, not from bfloat16's eight bits"
    G, D = players(32, torch.float32)
    numbers = torch.stack([train_step(G, D, adam(G), adam(D), torch.rand(8, 3, 32, 32)*2 - 1, *torch.randn(2, 8, 16, 1, 1), precision='bfloat16') for _ in range(8)])
    assert (numbers[:, 2:4] != numbers[:, 2:4].bfloat16().float()).any()


def in_the_way_of_gpus(monkeypatch):
    "What a step does on CUDA, here"
    def logits(*args):
        with TwiceDifferentiable(): return logits_of(*args)
    monkeypatch.setattr('artgan.step.logits_of', logits)


@pytest.mark.parametrize('network', ['plain', 'fine', 'fine+1', 'spectral', 'residual', 'aided'])
@pytest.mark.parametrize('precision, near', [('float32', 1e-9), ('bfloat16', 0.2)])  # the first in float64, but for heads, which take 15 seconds there
def test_the_penalty_on_a_gpu_has_the_same_gradients(network, precision, near, monkeypatch):
    "Of every network without batch norm, in one piece and in parts"
    dtype, near = (torch.float64, near) if precision == 'float32' and network != 'aided' else (torch.float32, max(near, 1e-3))
    draw = torch.Generator().manual_seed(3)
    real, z = torch.rand(8, 3, 32, 32, generator=draw, dtype=dtype)*2 - 1, torch.randn(8, 16, 1, 1, generator=draw, dtype=dtype)
    def gradients(turn, **how):
        G, D = (net.to(dtype, memory_format=torch.channels_last) for net in build_pair(2, network, 32, 16, width=8))
        turn(G, D, *(torch.optim.SGD(net.parameters(), lr=0.) for net in (G, D)), real, z, loss='relativistic', r1_gamma=10., **how)
        return torch.cat([p.grad.flatten() for net in (D, G) for p in net.parameters()])
    ways = [partial(train_step, precision=precision), partial(train_step_in_parts, 4, precision=precision)]
    ordinary = [gradients(turn) for turn in ways]
    in_the_way_of_gpus(monkeypatch)
    for a, turn in zip(ordinary, ways):
        b = gradients(turn)
        assert b.norm() > 0 and ((a - b).norm()/a.norm()).item() < near


@pytest.mark.parametrize('network', ['fine', 'aided'])
def test_the_penalty_on_a_gpu_is_no_more_work(network, monkeypatch):
    "Heads and the network behind them have no penalty, and no kernel is as large as a map"
    def work():
        G, D = build_pair(2, network, 64, 16, width=8)
        real, z = torch.rand(8, 3, 64, 64)*2 - 1, torch.randn(8, 16, 1, 1)
        return count_macs(lambda: train_step(G, D, *(torch.optim.SGD(net.parameters(), lr=0.) for net in (G, D)), real, z, loss='relativistic', r1_gamma=10.))
    ordinary = work()
    in_the_way_of_gpus(monkeypatch)
    ours = work()
    assert 0.5*ordinary < ours < 1.1*ordinary


@pytest.mark.parametrize('recipe', RECIPES)
def test_nothing_is_read_back_in_the_penalty_on_a_gpu(recipe, monkeypatch):
    in_the_way_of_gpus(monkeypatch)
    test_nothing_is_read_back_in_a_step(recipe)


@pytest.mark.parametrize('recipe', RECIPES)
def test_nothing_is_read_back_in_a_step(recipe):
    "On the meta device there are no numbers, so a step that reads one fails"
    r = RECIPES[recipe]
    with torch.device('meta'): G, D = generator(r.network, 32, 16, 3, 8), discriminator(r.network, 32, 3, 8)
    real, z = torch.empty(8, 3, 32, 32, device='meta'), torch.empty(8, 16, 1, 1, device='meta')
    opt_g, opt_d = (torch.optim.Adam(net.parameters()) for net in (G, D))
    assert train_step(G, D, opt_g, opt_d, real, z, None if r.reuse_fakes else z, loss=r.loss, r1_gamma=r.r1_gamma).device.type == 'meta'
    with pytest.raises(RuntimeError): train_step(G, D, opt_g, opt_d, real, z, loss=r.loss, see=lambda x: x*x.sum().item())


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA GPU')
def test_no_synchronisation_on_a_gpu():
    G, D = (net.cuda() for net in players(32, torch.float32))
    opt_g, opt_d = adam(G), adam(D)
    real, z = (torch.rand(8, 3, 32, 32)*2 - 1).cuda(), torch.randn(2, 8, 16, 1, 1).cuda()
    train_step(G, D, opt_g, opt_d, real, *z)
    torch.cuda.set_sync_debug_mode('error')
    try: train_step(G, D, opt_g, opt_d, real, *z)
    finally: torch.cuda.set_sync_debug_mode('default')
