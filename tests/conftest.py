import multiprocessing
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

if 'PYTEST_XDIST_WORKER' in os.environ: os.environ['OMP_NUM_THREADS'] = '1'  # here and in what the tests start: threads that fight for cores are slow

import matplotlib
import numpy as np
import pytest
import torch

matplotlib.use('Agg')
sys.path.insert(0, str(Path(__file__).resolve().parent.parent/'.ci'))  # for sync.py

from artgan.demo import demo_art
from artgan.runs import load_checkpoint, read_history


def _there(folder, environment, target, args):
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    target(*args)


def forked(target, *args):
    """Start `target` in a process of its own, in this folder and with this environment. It is forked from a server that has loaded torch once
    and has done nothing with it, so it starts in milliseconds, where a new Python takes seconds"""
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(['artgan.train', 'torch._dynamo', 'torchvision.utils'])  # a run loads the last two late
    if not _served:
        _served.append(True)
        forked(int).join()  # the server has loaded all by then, so that no time limit of a test counts that
    process = context.Process(target=_there, args=(os.getcwd(), dict(os.environ), target, args), daemon=True)  # no test that fails waits for it
    process.start()
    return process

_served = []


def until(condition, seconds=300):
    "Wait for something that takes its time"
    end = time.time() + seconds
    while not condition():
        assert time.time() < end, 'waited in vain'
        time.sleep(0.02)


def free_port():
    "A free port that the system gives to nobody by itself, so that it is still free when a program that was started takes it"
    ports = Path('/proc/sys/net/ipv4/ip_local_port_range')
    below = int(ports.read_text().split()[0]) if ports.exists() else 49152
    for _ in range(100):
        with socket.socket() as s:
            port = random.SystemRandom().randrange(20_000, below)
            try: s.bind(('', port))
            except OSError: continue
            return port
    raise OSError('no free port')


@pytest.fixture
def started():
    "Start a program, by the arguments of `Popen`; whatever is left of it after the test, and what it started, is killed"
    all = []
    def start(command, **options):
        all.append(subprocess.Popen(command, start_new_session=os.name != 'nt', **options))
        return all[-1]
    yield start
    for process in all:
        if os.name == 'nt': process.kill()
        else:
            try: os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError: continue  # as it should be
        process.wait()


needs_fork = pytest.mark.skipif('forkserver' not in multiprocessing.get_all_start_methods(), reason='this system does not fork')


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    "No test touches the user's cache of decoded pictures, or the folder it is started in"
    monkeypatch.setenv('ARTGAN_CACHE', str(tmp_path/'cache'))
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope='session')
def art():
    "Twenty pictures: with batches of 8, an epoch is three steps, the last one short"
    return demo_art(20, size=32)[0]


@pytest.fixture
def tiny():
    "The smallest networks, on the CPU, saying nothing"
    return dict(batch_size=8, latent_size=8, width=4, device='cpu', show=False)


def equal(a, b):
    "Whether two nested structures of tensors and plain values are the same to the bit; seconds do not count"
    if isinstance(a, np.ndarray): return np.array_equal(a, b, equal_nan=a.dtype.kind == 'f')
    if isinstance(a, dict): return a.keys() == b.keys() and all(equal(a[k], b[k]) for k in a if k != 'seconds')
    if isinstance(a, (list, tuple)): return len(a) == len(b) and all(map(equal, a, b))
    return torch.equal(a, b) if torch.is_tensor(a) else np.array_equal(a, b)


def left_by(path):
    "Everything that a run leaves and that must not depend on interruptions"
    path = Path(path)
    return dict(checkpoint=load_checkpoint(path), history=read_history(path), weights={n: torch.load(path/n, weights_only=True) for n in ('G.pth', 'D.pth')},
                grids={p.name: p.read_bytes() for p in (path/'generated').iterdir()}, file=(path/'G.safetensors').read_bytes(),
                checkpoints=sorted(p.name for p in (path/'checkpoints').iterdir()))
