"The command line as a process: what a shell sees of it."
import os
import signal
import subprocess
import sys
import time

import pytest
from PIL import Image


@pytest.mark.skipif(os.name == 'nt', reason='Windows sends signals differently')
def test_a_run_that_sigterm_stopped_is_saved_and_the_shell_does_not_go_on(art):
    os.mkdir('art')
    for i, picture in enumerate(art): Image.fromarray(picture).save(f'art/{i}.png')
    line = 'train art --size 32 --epochs 20000 --batch-size 8 --latent-size 8 --width 4 --device cpu --out run'
    process = subprocess.Popen([sys.executable, '-m', 'artgan.cli', *line.split()], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.time() + 120
    while not os.path.exists('run/generated/generated-images-0001.png') and time.time() < deadline: time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 143 and 'the same call goes on from here' in out and 'Traceback' not in err
    assert os.path.exists('run/G.safetensors')
