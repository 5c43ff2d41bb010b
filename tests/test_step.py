"Our training step against the article's, transcribed here as it stands there."
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from artgan.models import discriminator, generator
from artgan.step import adam, train_step


def train_discriminator(real_images, opt_d, discriminator, generator, latent):
    opt_d.zero_grad()
    real_preds = discriminator(real_images)
    real_loss = F.binary_cross_entropy(real_preds, torch.ones_like(real_preds))
    real_score = torch.mean(real_preds).item()
    fake_images = generator(latent)
    fake_preds = discriminator(fake_images)
    fake_loss = F.binary_cross_entropy(fake_preds, torch.zeros_like(fake_preds))
    fake_score = torch.mean(fake_preds).item()
    loss = real_loss + fake_loss
    loss.backward()
    opt_d.step()
    return loss.item(), real_score, fake_score


def train_generator(opt_g, discriminator, generator, latent):
    opt_g.zero_grad()
    preds = discriminator(generator(latent))
    loss = F.binary_cross_entropy(preds, torch.ones_like(preds))
    loss.backward()
    opt_g.step()
    return loss.item()


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
    judge = nn.Sequential(D, nn.Sigmoid())
    opt_g, opt_d = (torch.optim.Adam(net.parameters(), lr=0.0002, betas=(0.5, 0.999)) for net in (G, D))
    theirs = []
    for real, (z_d, z_g) in zip(reals, latents):
        loss_d, real_score, fake_score = train_discriminator(real, opt_d, judge, G, z_d)
        theirs.append([train_generator(opt_g, judge, G, z_g), loss_d, real_score, fake_score])

    G2, D2 = (net.to(memory_format=torch.channels_last) for net in players(size, dtype))
    opt_g2, opt_d2 = adam(G2), adam(D2)
    ours = torch.stack([train_step(G2, D2, opt_g2, opt_d2, real.to(memory_format=torch.channels_last), *z) for real, z in zip(reals, latents)])
    return torch.tensor(theirs, dtype=dtype), ours, (G, D), (G2, D2)


@pytest.mark.parametrize('size', [32, 64, 128])
def test_same_mathematics_in_float64(size):
    "Ten steps, every third batch short: losses, scores, weights and running statistics agree"
    theirs, ours, nets, nets2 = both(size, torch.float64, 10, [6, 6, 3])
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


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA GPU')
def test_no_synchronisation_on_a_gpu():
    G, D = (net.cuda() for net in players(32, torch.float32))
    opt_g, opt_d = adam(G), adam(D)
    real, z = (torch.rand(8, 3, 32, 32)*2 - 1).cuda(), torch.randn(2, 8, 16, 1, 1).cuda()
    train_step(G, D, opt_g, opt_d, real, *z)
    torch.cuda.set_sync_debug_mode('error')
    try: train_step(G, D, opt_g, opt_d, real, *z)
    finally: torch.cuda.set_sync_debug_mode('default')
