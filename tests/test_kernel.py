"The notebook's stop button, and Ctrl-C in a terminal: real signals to real processes."
import os
import signal
import subprocess
import sys

import pytest
from jupyter_client.manager import start_new_kernel

from artgan.train import fit
from conftest import equal, left_by, until

SETUP = '''
import numpy as np, artgan.train as t, artgan.trainer
from artgan.demo import demo_art
art = demo_art(20, size=32)[0]
options = dict(batch_size=8, latent_size=8, width=4, device='cpu')
real = artgan.trainer.train_step
def slow(*args):
    import time
    time.sleep(0.2)
    return real(*args)
'''


def test_the_stop_button_of_a_notebook(art, tiny):
    manager, client = start_new_kernel()
    try:
        def run(code):
            printed = []
            reply = client.execute_interactive(code, timeout=300, output_hook=lambda m: printed.append(m['content'].get('text', '')))
            assert reply['content']['status'] == 'ok', reply['content']
            return ''.join(printed)
        run(SETUP + 'artgan.trainer.train_step = slow')
        client.execute("run = t.fit(art, 20, out='run', **options)")
        until(lambda: os.path.exists('run/generated/generated-images-0001.png'))
        manager.interrupt_kernel()
        printed = run("print(run, 'is what there is', len(run.losses_g))")
        assert 'is what there is' in printed
        steps = int(printed.split()[-1])
        assert 3 <= steps < 60 and os.path.exists('run/G.safetensors')
    finally: manager.shutdown_kernel(now=True)
    epochs = steps//3 + 1
    # epochs can only grow, so the uninterrupted run is given as many as the stopped one was promised
    done = fit(art, 20, out='run', **tiny)
    assert done.epochs == 20 and epochs < 20
    fit(art, 20, out='straight', **tiny)
    a, b = left_by('run'), left_by('straight')
    assert all(equal(a[k], b[k]) for k in a if k != 'checkpoints')  # when a checkpoint is written is a matter of the clock


@pytest.mark.skipif(os.name == 'nt', reason='Windows sends Ctrl-C differently')
@pytest.mark.parametrize('line', ['train', 'python'])
def test_ctrl_c_in_a_terminal(line, art, started):
    if line == 'python': command = [sys.executable, '-c', SETUP + "artgan.trainer.train_step = slow\nprint(t.fit(art, 60, out='run', **options))"]
    else:
        from PIL import Image
        os.mkdir('art')
        for i, picture in enumerate(art): Image.fromarray(picture).save(f'art/{i}.png')
        command = [sys.executable, '-m', 'artgan.cli', *'train art --size 32 --epochs 2000 --batch-size 8 --latent-size 8 --width 4 --device cpu --out run'.split()]
    process = started(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until(lambda: os.path.exists('run/generated/generated-images-0001.png') or process.poll() is not None)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=300)
    assert process.returncode == (130 if line == 'train' else 0) and 'the same call goes on from here' in out and 'Traceback' not in err
    assert os.path.exists('run/G.safetensors')
