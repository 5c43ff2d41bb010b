"TensorBoard and MLflow: the history's numbers, each once, whatever happens to the run or to them."
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from artgan.callbacks import Callback
from artgan.core import InputError
from artgan.runs import checkpoints, read_history
from artgan.train import fit
from conftest import left_by
import artgan.trackers
from artgan.trackers import MLflow, TensorBoard

accumulator = pytest.importorskip('tensorboard.backend.event_processing.event_accumulator', reason='the extra tensorboard is not installed')


def logged(folder):
    "{column: [(step, number)]} of a log of TensorBoard, and the steps of its grids"
    log = accumulator.EventAccumulator(str(folder), size_guidance=dict(scalars=0, images=0))
    log.Reload()
    return {t.split('/')[1]: [(s.step, s.value) for s in log.Scalars(t)] for t in log.Tags()['scalars']}, [i.step for i in log.Images('samples')]


def assert_is_history(found, run, every=1):
    "All finite numbers of a history, each once"
    history = read_history(run)
    for name, values in history.items():
        if name == 'step': continue
        at = np.isfinite(values.astype(float)) & (history['step'] % every == 0)
        assert [s for s, _ in found.get(name, [])] == history['step'][at].tolist(), name
        assert np.array_equal(np.float32([v for _, v in found.get(name, [])]), np.float32(values[at])), name


class Does(Callback):
    "Something to the run, once, after an epoch"
    def __init__(self, epoch, what): self.epoch, self.what = epoch, what
    def after_epoch(self, run):
        if run.epoch == self.epoch and self.what: self.what, what = None, self.what; what(run)


def diverge(run): next(run.G.parameters()).data.fill_(math.nan)
def stop(run): run.stop.set()


@pytest.fixture
def quick(tiny): return dict(tiny, score_every=0)


def test_the_run_is_the_same(art, quick):
    before = torch.get_rng_state()
    fit(art, 2, out='with', callbacks=[TensorBoard(every=1)], **quick)
    assert torch.equal(torch.get_rng_state(), before)
    fit(art, 2, out='without', **quick)
    a, b = left_by('with'), left_by('without')
    assert a['checkpoint'].pop('callbacks') and not b['checkpoint'].pop('callbacks') and a['file'] == b['file'] and a['grids'] == b['grids']
    found, grids = logged('with/tensorboard')
    assert_is_history(found, 'with')
    assert grids == [0, 3, 6]


def test_killed_after_the_log_and_before_the_checkpoint(art, quick):
    "What it does again does not count twice"
    fit(art, 4, out='run', callbacks=[TensorBoard(every=1), Does(1, stop)], **quick)
    shutil.copytree('run', 'old')
    fit(art, 4, out='run', callbacks=[TensorBoard(every=1), Does(3, stop)], **quick)
    for file in checkpoints('run')[-1:]: file.unlink()
    for name in 'history.csv', 'G.safetensors', 'G.pth', 'D.pth': shutil.copy(f'old/{name}', f'run/{name}')  # as the first session left it
    run = fit(art, 4, out='run', callbacks=[TensorBoard(every=1)], **quick)
    found, grids = logged('run/tensorboard')
    assert_is_history(found, run)
    assert grids == [0, 3, 6, 9, 12]


@pytest.mark.parametrize('before', [True, False], ids=['', 'which is new'])
def test_a_rollback(art, quick, before):
    "To a checkpoint that knows of the tracker, and to one that does not"
    fit(art, 1, out='run', callbacks=[TensorBoard(every=1)]*before, **quick)
    run = fit(art, 4, out='run', callbacks=[TensorBoard(every=1), Does(3, diverge)], **quick)
    assert 'went back to step 3' in run.notes[0][2]
    found, grids = logged('run/tensorboard')
    assert_is_history(found, run)
    assert grids == [0, 3, 6, 9, 12]


def test_a_tracker_that_comes_late_and_one_that_is_used_again(art, quick):
    "It has all, and the second run has its own log"
    fit(art, 2, out='one', **quick)
    tracker = TensorBoard(every=2)
    one = fit(art, 3, out='one', callbacks=[tracker], **quick)
    two = fit(art, 1, out='two', callbacks=[tracker], **quick)
    for run in one, two: assert_is_history(logged(run.path/'tensorboard')[0], run, every=2)


class Breaks(TensorBoard):
    "Whose disk is full for a while"
    def write(self, run, points):
        super().write(run, [p for p in points][:2])
        if run.epoch < 2: raise OSError(28, 'No space left on device')


def test_a_log_that_fails_ends_no_run(art, quick):
    "It is said once, the run goes on, and nothing is missing or twice in the end"
    run = fit(art, 1, out='run', callbacks=[Breaks(every=1)], **quick)
    assert [k for _, k, _ in run.notes] == ['tracker Breaks'] and 'No space left' in run.notes[0][2] and 'goes on' in Path('run/notes.txt').read_text()
    run = fit(art, 2, out='run', callbacks=[TensorBoard(every=1)], **quick)
    assert_is_history(logged('run/tensorboard')[0], run)


class FullDisk(Callback):
    def before_run(self, run): run.note = self.note
    def note(self, kind, text): raise OSError(28, 'No space left on device')


def test_a_note_that_cannot_be_written_is_a_warning(art, quick):
    with pytest.warns(UserWarning, match='Breaks failed'): fit(art, 1, out='run', callbacks=[FullDisk(), Breaks(every=1)], **quick)


def test_nothing_is_read_from_the_device(art):
    "What waits there goes on waiting"
    from artgan.runs import History
    history = History('history.csv')
    history.add(1, 1, 8, torch.zeros(8, device='meta'), 0.)
    run = type('Run', (), dict(history=history, seconds=0., step=1, epoch=0, saved=(0, 0), path=Path('run'), config=dict(start_idx=1), note=lambda *a: pytest.fail(str(a))))()
    tracker = TensorBoard()
    tracker.before_run(run); tracker.after_read(run)
    assert len(history.waiting) == 1 and not history.rows and tracker.step == 0
    tracker.shut()


def test_what_is_refused(monkeypatch):
    for bad in (0, 1.5, True):
        with pytest.raises(InputError, match='every'): TensorBoard(every=bad)
    monkeypatch.setattr(artgan.trackers, 'find_spec', lambda name: None)
    with pytest.raises(InputError, match=r'artgan\[tensorboard\]'): TensorBoard()
    with pytest.raises(InputError, match=r'artgan\[mlflow\]'): MLflow()


def kept(tracker):
    "The same of a run at MLflow, and the files of its grids"
    from mlflow import MlflowClient
    client = MlflowClient(tracker.uri)
    names = client.get_run(tracker.run_id).data.metrics
    return ({n.split('/')[1]: [(m.step, m.value) for m in client.get_metric_history(tracker.run_id, n)] for n in names if n != 'train/step'},
            [Path(f.path).name for f in client.list_artifacts(tracker.run_id, 'grids')], client)


def test_mlflow(art, quick, monkeypatch):
    "Stopped, killed after the points and before the checkpoint knew of them, rolled back, and failing in between: one run there, each point once"
    pytest.importorskip('mlflow', reason='the extra mlflow is not installed')
    monkeypatch.setenv('MLFLOW_DISABLE_TELEMETRY', 'true')
    def tracker(): return MLflow(uri='sqlite:///mlflow.db', every=1)
    fit(art, 3, out='run', callbacks=[tracker(), Does(1, stop)], **quick)  # after_run hands over what the last checkpoint does not know of
    fails, write_grid = tracker(), MLflow.write_grid
    def once(self, run, step, file): monkeypatch.setattr(MLflow, 'write_grid', write_grid); raise ConnectionError('gone')
    monkeypatch.setattr(MLflow, 'write_grid', once)
    run = fit(art, 3, out='run', callbacks=[fails, Does(2, diverge)], **quick)
    found, grids, client = kept(fails)
    assert_is_history(found, run)
    there = client.get_run(fails.run_id)
    assert grids == [f'generated-images-{i:04d}.png' for i in range(4)] and len(client.search_runs([there.info.experiment_id])) == 1
    assert there.info.status == 'FINISHED' and there.data.params['width'] == '4' and {k for _, k, _ in run.notes} == {'tracker MLflow', 'diverged 1'}
    client.delete_run(fails.run_id)
    other = tracker()
    run = fit(art, 4, out='run', callbacks=[other], **quick)
    assert other.run_id != fails.run_id and len(kept(other)[1]) == 5
    assert_is_history(kept(other)[0], run)
