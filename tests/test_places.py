"""Locks on drives of every kind.

There is one machine and one file system here. Others are played: `fcntl.flock` is replaced by one that answers ENOLCK, EOPNOTSUPP or ENOSYS
(a drive without locks) or yes to everybody (a drive that only pretends), and another machine is this one by another name. The two minutes are
made two seconds where a test waits for them.
"""
import errno
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from PIL import Image

from artgan import claims, runs
from artgan.core import InputError, locked, remove_parts, written_whole
from artgan.runs import History
from conftest import forked, until

KINDS = ['real', 'agreeing', errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS]
posix = pytest.mark.skipif(os.name == 'nt', reason='signals and flock are of POSIX')


def play(monkeypatch, kind, machine=None):
    "This process too sees such a drive, and has such a name"
    def flock(file, flags):
        if kind != 'agreeing': raise OSError(kind, os.strerror(kind))
    if kind != 'real': monkeypatch.setattr(claims.fcntl, 'flock', flock)
    if machine: monkeypatch.setattr(claims, 'this_machine', lambda: machine)
    monkeypatch.setattr(claims, 'lapses_after', 2)


def hold(kind, machine, say):
    "What another process does: it sees such a drive, has such a name, holds the lock and writes until that is refused"
    play(pytest.MonkeyPatch(), kind, machine)
    claims.renew_every = .3
    with locked('.run.lock', 'the run'):
        remove_parts('run')
        say.send('held')
        try:
            for i in range(10**9):
                with written_whole('run/note') as part: part.write_text(f'{machine} {i}')
        except InputError as e: say.send(str(e))


def start_holder(kind, machine=None):
    "Such a process, and the end of a pipe that tells what it says"
    hear, say = multiprocessing.Pipe(duplex=False)
    process = forked(hold, kind, machine, say)
    say.close()
    assert hear.recv() == 'held'
    return process, hear


@posix
@pytest.mark.parametrize('kind', KINDS)
def test_a_living_holder_on_this_machine_is_never_robbed_and_a_killed_one_is_no_hindrance(kind, monkeypatch):
    play(monkeypatch, kind)
    holder, _ = start_holder(kind)
    os.kill(holder.pid, signal.SIGSTOP)
    time.sleep(2.5)  # longer than a lock is good for
    with pytest.raises(InputError, match=f'the run is in use by process {holder.pid} on .* since'):
        with locked('.run.lock', 'the run'): raise AssertionError('robbed')
    holder.kill()
    holder.join()
    with locked('.run.lock', 'the run'): assert claims._read(Path('.run.owner'))['process'] == os.getpid()
    assert not Path('.run.owner').exists() and len([*Path().glob('.run*')]) == 1


@posix
@pytest.mark.parametrize('kind', ['agreeing', errno.ENOLCK])
def test_of_two_machines_one_stopped_for_a_while_only_one_writes(kind, monkeypatch, capsys):
    "The first is stopped wherever it happens to be in writing, three times"
    play(monkeypatch, kind, 'here')
    for pause in (0, .023, .051):
        holder, hear = start_holder(kind, 'there')
        time.sleep(.3 + pause)
        with pytest.raises(InputError, match='last heard of [01] seconds ago .* free in [12] seconds'):
            with locked('.run.lock', 'the run'): raise AssertionError('robbed')
        os.kill(holder.pid, signal.SIGSTOP)
        with locked('.run.lock', 'the run', wait=True):
            for part in Path('run').glob('.*.part'): part.unlink()  # as `remove_parts` does, for all that a run writes
            with written_whole('run/note') as part: part.write_text('mine')
            os.kill(holder.pid, signal.SIGCONT)
            assert hear.poll(30) and 'was taken over by another process' in hear.recv()
            holder.join()
            assert holder.exitcode == 0 and Path('run/note').read_text() == 'mine'
            assert claims._read(Path('.run.owner'))['process'] == os.getpid() and os.listdir('run') == ['note']
    out = capsys.readouterr().out
    assert out.count('which was not heard of for') == 3 and out.count(": taken over") == 3


def note_step(history, step):
    "One more row in the file"
    history.add(step, 1, 8*step, torch.full((8,), float(step)), 1.)
    history.save()


def append(where, say):
    "What another machine does: it holds the lock, writes a row, and is stopped at a certain line of writing the next"
    play(pytest.MonkeyPatch(), errno.ENOLCK, 'there')
    claims.renew_every, check = .3, runs.check_held
    def stop(): os.kill(os.getpid(), signal.SIGSTOP)
    with locked('.run.lock', 'the run'):
        history = History('run/history.csv')
        note_step(history, 1)
        if where == 'before it opens the file': runs.open = lambda *args, **kwargs: [stop(), open(*args, **kwargs)][1]
        if where == 'before it looks at the lock': runs.check_held = lambda path: [stop(), check(path)]
        if where == 'before it writes': runs.check_held = lambda path: [check(path), stop()]
        say.send('held')
        try: note_step(history, 2)
        except InputError as e: say.send(str(e))
        else: say.send('written')


@posix
@pytest.mark.parametrize('where', ['before it opens the file', 'before it looks at the lock', 'before it writes'])
@pytest.mark.parametrize('gone_on', [True, False], ids=['the other has written', 'the other writes later'])
def test_a_history_has_every_row_once_wherever_its_writer_was_stopped(where, gone_on, monkeypatch):
    play(monkeypatch, errno.ENOLCK, 'here')
    hear, say = multiprocessing.Pipe(duplex=False)
    holder = forked(append, where, say)
    assert hear.recv() == 'held'
    with locked('.run.lock', 'the run', wait=True):
        history = History('run/history.csv', [tuple(float(c or 'nan') for c in line.split(',')) for line in Path('run/history.csv').read_text().splitlines()[1:]])
        if gone_on: note_step(history, 2)
        os.kill(holder.pid, signal.SIGCONT)
        assert hear.poll(30)
        assert where == 'before it writes' or 'was taken over by another process' in hear.recv()
        holder.join()
        if not gone_on: note_step(history, 2)
        note_step(history, 3)
    assert [float(line.split(',')[0]) for line in Path('run/history.csv').read_text().splitlines()[1:]] == [1, 2, 3]


def test_a_history_that_was_deleted_is_written_whole():
    history = History('history.csv')
    for step in 1, 2: note_step(history, step)
    os.remove('history.csv')
    note_step(history, 3)
    assert [line.split(',')[0] for line in Path('history.csv').read_text().splitlines()] == ['step', '1', '2', '3']


@posix
def test_a_lock_of_a_machine_that_died_is_free_after_two_minutes_although_the_server_still_holds_it(monkeypatch, capsys):
    "An NFS server may hold the lock of a client that is gone"
    holder, _ = start_holder('real', 'there')
    os.kill(holder.pid, signal.SIGSTOP)
    play(monkeypatch, 'real', 'here')
    try:
        with locked('.run.lock', 'the run', wait=True): assert 'waiting for it' in capsys.readouterr().out
    finally: holder.kill(); holder.join()


def test_a_lock_is_renewed_while_it_is_held(monkeypatch):
    monkeypatch.setattr(claims, 'renew_every', .05)
    with locked('.run.lock', 'the run') as still_held:
        os.utime('.run.owner', (0, 0))
        until(lambda: os.stat('.run.owner').st_mtime > 0)
        os.remove('.run.owner')
        with pytest.raises(InputError, match='taken over'): still_held()
    with locked('.run.lock', 'the run') as still_held: assert still_held() is None


def test_a_claim_of_an_earlier_version_or_a_torn_one(monkeypatch):
    "With the system's lock it is known to be free; without, two minutes tell"
    Path('.run.owner').write_text('process 7 on hal since 2026-01-01 00:00:00')
    with locked('.run.lock', 'the run'): assert claims._read(Path('.run.owner'))['process'] == os.getpid()
    play(monkeypatch, errno.ENOLCK)
    for text in 'process 7 on hal since 2026-01-01 00:00:00', '', '{"words": "pro':
        Path('.run.owner').write_text(text)
        with pytest.raises(InputError, match='in use by'):
            with locked('.run.lock', 'the run'): raise AssertionError('robbed')
        os.utime('.run.owner', (0, time.time() - 5))
        with locked('.run.lock', 'the run'): assert claims._read(Path('.run.owner'))['process'] == os.getpid()


TRAIN = [sys.executable, '-m', 'artgan.cli', *'--size 32 --epochs 2 --batch-size 8 --latent-size 8 --width 4 --device cpu --score-every 0'.split()]


@pytest.fixture
def folder(art):
    "Pictures in a folder with a Cyrillic name, and the command that trains on them"
    os.mkdir('Живопись')
    for i, picture in enumerate(art): Image.fromarray(picture).save(f'Живопись/{i}.png')
    return [*TRAIN[:3], 'train', 'Живопись', *TRAIN[3:]]


@pytest.mark.parametrize('encoding', ['ascii', 'cp1252'])
def test_any_name_is_printed_on_any_terminal_and_a_file_gets_no_carriage_returns(encoding, folder):
    with open('log', 'wb') as log: subprocess.run(folder, check=True, stdout=log, stderr=log, timeout=120, env={**os.environ, 'PYTHONIOENCODING': encoding})
    log = Path('log').read_bytes()
    assert b'\r' not in log and b'\\u0416\\u0438' in log and b'Epoch [2/2]' in log and b'Traceback' not in log
    assert Path('runs/Живопись/G.safetensors').exists()


@posix
@pytest.mark.parametrize('redirections', ['>&- 2>&-', '2> /dev/null | true', '2> /dev/full > /dev/full'])
def test_an_output_that_is_closed_or_full_does_not_end_a_run(redirections, folder):
    subprocess.run(['bash', '-c', f'"$@" {redirections}', 'bash', *folder], timeout=120)
    assert Path('runs/Живопись/G.safetensors').exists()
