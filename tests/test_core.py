"Plain values, and progress on streams of every kind."
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from tqdm import tqdm

from artgan.core import InputError, as_number, as_path, as_whole, check_device, check_whole, closing_bars, progress

WORK = '''
from artgan.core import progress
with progress(total=3, delay=0) as bar:
    for i in range(3):
        bar.write(f'line {i} é')
        bar.update()
for _ in progress(range(3), delay=0): pass
import os
os.write(3, b'ended')
'''


def shell(redirections, env=None):
    "What the work writes when a shell starts it so, and what it tells on a channel of its own"
    Path('work.py').write_text(WORK, encoding='utf-8')
    subprocess.run(['bash', '-c', f'{sys.executable} work.py {redirections}'], check=True, timeout=120, env=env)
    return Path('told').read_text()


def test_a_file_gets_the_lines_and_no_bar():
    assert shell('3> told > out 2> err') == 'ended'
    assert Path('out').read_text(encoding='utf-8') == 'line 0 é\nline 1 é\nline 2 é\n' and Path('err').read_text() == ''


@pytest.mark.parametrize('redirections', ['3> told >&- 2>&-', '3> told 2> /dev/null | true', '3> told 2> /dev/full > /dev/full || true'])
def test_an_output_that_is_closed_or_full_does_not_end_the_work(redirections): assert shell(redirections) == 'ended'


def test_an_interrupt_leaves_no_bar(capsys):
    def half_way():
        for x in progress(range(9), delay=0): yield x
    kept, before = [], len(tqdm._instances)
    def interrupted():
        bars = half_way()
        next(bars)
        raise KeyboardInterrupt
    try:
        with closing_bars(): interrupted()
    except KeyboardInterrupt as e: kept.append(e)
    assert kept and len(tqdm._instances) == before


@pytest.mark.parametrize('value', [True, 2.0, '2', None, 0, np.float64(2), [2]])
def test_what_is_no_whole_number(value):
    with pytest.raises(InputError, match='n is .*; it must be a whole number, 1 or more'): check_whole('n', value, 1)


def test_numbers_of_numpy_become_plain():
    for value in (np.int64(3), np.uint8(3), 3): assert type(as_whole('n', value, 1)) is int
    for value in (np.float32(.5), np.int64(3), 3, .5): assert type(as_number('n', value)) is float
    for value in (np.nan, np.inf, -np.inf, np.float32('nan'), '0.1', False, None, 10**400):
        with pytest.raises(InputError, match='must be a number'): as_number('n', value)


def test_home_is_found(monkeypatch):
    monkeypatch.setenv('HOME', '/somewhere')
    assert as_path('~/art') == as_path(Path('~/art')) == Path('/somewhere/art')


@pytest.mark.parametrize('wrong', [2**70, 2**63, 300, -1, 1.5, True, [], 'cuda:256', 'cuda:999', 'cpu:256', 'meta', '', 'cuda:'])
def test_a_device_that_is_none_is_refused(wrong, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 1)
    with pytest.raises(InputError, match='device is'): check_device(wrong)
    assert check_device('cuda:0') == torch.device('cuda', 0) and check_device(torch.device('cpu')).type == 'cpu'


def test_bars_of_another_thread_stay(capsys):
    bars = []
    with closing_bars():
        thread = threading.Thread(target=lambda: bars.append(progress(total=3)))
        thread.start(), thread.join()
        mine = progress(total=3)
    assert bars[0] in tqdm._instances and mine not in tqdm._instances
    bars[0].close()
