"""Run folders that an earlier version left: they open, and go on as if that version had gone on.

tests/old_run/ was written by version 0.1.0 before its modules were cut up anew: two epochs of twenty demo pictures, with the newest checkpoint alone.
three-epochs.npz beside each has every eighth of the generator's weights, in half precision, after that version went on with it to three epochs.
"""
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from artgan.core import InputError, has_bfloat16
from artgan.runs import load_checkpoint, read_history
from artgan.train import fit
from artgan.weights import generate, load_generator

KEPT = Path(__file__).resolve().parent/'old_run'


@pytest.fixture(params=['cpu', 'classic'])
def old(request, tmp_path):
    "A copy of the run, which may be written to"
    return Path(shutil.copytree(KEPT/request.param, tmp_path/'run'))


def test_it_opens(old):
    history = read_history(old)
    assert history['step'].tolist() == [1, 2, 3, 4, 5, 6] and history['epoch'].tolist() == [1, 1, 1, 2, 2, 2] and np.isfinite(history['loss_g']).all()
    assert load_checkpoint(old)['step'] == 6 and json.loads((old/'config.json').read_text())['config']['epochs'] == 2
    pictures = generate(old, n=3, device='cpu')
    assert pictures.shape == (3, 32, 32, 3) and np.array_equal(pictures, generate(old/'G.safetensors', n=3, device='cpu'))
    assert not next(load_generator(old).parameters()).isnan().any()


def test_it_goes_on_as_it_would_have_then(old, art, tiny):
    before = read_history(old)
    run = fit(art, epochs=3, out=old, **tiny)
    after = read_history(old)
    assert run.epochs == 3 and after['step'].tolist() == list(range(1, 10)) and after['epoch'].tolist()[6:] == [3, 3, 3]
    for name in before: assert np.array_equal(after[name][:6], before[name], equal_nan=True), f'{name} of the first two epochs'
    mine, then = load_file(old/'G.safetensors'), np.load(old/'three-epochs.npz')
    assert mine.keys() == set(then.files)
    apart = np.concatenate([mine[name].ravel()[::8].astype(np.float32) - then[name].astype(np.float32) for name in then.files])
    # processors differ in the last bits, and more where they have bfloat16; a lost optimiser or random state moves weights by a whole step, 0.0002 or 0.0005
    assert np.abs(apart).mean() < (1e-3 if has_bfloat16(torch.device('cpu')) else 3e-5)


def test_an_old_run_refuses_another_configuration_as_ever(old, art, tiny):
    with pytest.raises(InputError, match='another configuration'): fit(art, epochs=3, out=old, **{**tiny, 'width': 8})
