"""What a person does who has installed artgan and has no repository: .ci/wheel starts it, in an empty folder."""
from pathlib import Path

import artgan

assert 'site-packages' in Path(artgan.__file__).parts and not Path('artgan').exists(), artgan.__file__

from artgan.demo import demo_art
from artgan.train import fit

explorer, breeder = artgan.explore(), artgan.breed()
print('explore:', explorer.picture.shape, ' breed:', len(breeder.pictures), 'pictures')
film = artgan.walk(seeds=(0, 1), seconds=0.5, fps=8, loop=False, pixels=128, out='walk.webm')
print('walk:', Path('walk.webm').stat().st_size, 'bytes,', film)
run = fit(demo_art(64, size=32)[0], epochs=1, batch_size=16, width=8, latent_size=8, out='tiny', show=False)
print('fit:', run)
assert len(breeder.pictures) == 9 and Path('tiny/G.safetensors').exists() and len(artgan.generate('tiny', 4)) == 4
print('generate:', sorted(p.name for p in Path('tiny').iterdir()))
