"What `import artgan` gives: at once, and the same thing every time."
import subprocess
import sys

import pytest

import artgan

NAMES = ['fit', 'generate', 'explore', 'breed', 'walk', 'project', 'replay', 'nearest', 'download', 'demo_art', 'load_images', 'check_images', 'show_images',
         'score_run', 'make_video', 'show_video', 'plot_losses', 'RECIPES', 'Run', 'export_onnx', 'share_run', 'write_samples', 'write_grid', 'cut_out', 'watch',
         'load', 'push_to_hub', 'TensorBoard', 'MLflow']


def python(code):
    "What a fresh interpreter prints"
    return subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout


def test_importing_it_loads_nothing():
    assert python("import sys, artgan; dir(artgan), artgan.__version__; print([m for m in sys.modules if m in ('torch', 'numpy', 'PIL') or m.startswith('artgan.')])") == '[]\n'


def test_every_name_twice_and_still_after_all_modules_are_imported():
    "A submodule that is imported becomes an attribute of the package, and must not take the place of a function"
    code = f'''
import importlib, pkgutil, artgan
names = {NAMES}
first = [getattr(artgan, n) for n in names]
for m in pkgutil.iter_modules(artgan.__path__): importlib.import_module('artgan.' + m.name)
second = [getattr(artgan, n) for n in names]
assert all(a is b for a, b in zip(first, second)) and artgan.RECIPES and artgan.bench.bench
assert all(callable(f) for n, f in zip(names, second) if n != 'RECIPES')
art, labels = artgan.demo_art(2, size=32)
again, labels = artgan.demo_art(2, size=32)
print(art.shape, (art == again).all())
'''
    assert python(code) == '(2, 32, 32, 3) True\n'


def test_the_modules_first_and_then_the_names():
    "The other way round"
    code = f'''
import importlib, pkgutil, types, artgan
for m in pkgutil.iter_modules(artgan.__path__): importlib.import_module('artgan.' + m.name)
print([n for n in {NAMES} if isinstance(getattr(artgan, n), types.ModuleType)])
'''
    assert python(code) == '[]\n'


def test_what_it_lists_and_what_it_does_not_have():
    assert set(NAMES) <= set(dir(artgan)) and 'bench' not in artgan._home
    with pytest.raises(AttributeError, match="no attribute 'paint'"): artgan.paint
    with pytest.raises(ImportError): exec('from artgan import paint')
