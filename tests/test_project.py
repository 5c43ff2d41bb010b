"The project in order: notebooks, package, README and settings say the same."
import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import artgan
import sync

root = sync.root
notebooks = sync.notebooks()
ids = [str(p.relative_to(root)) for p in notebooks]


@pytest.fixture(scope='module')
def again(tmp_path_factory):
    "A copy of the project in which package and notebooks were exported and cleaned again"
    copy = tmp_path_factory.mktemp('project')/'artgan'
    shutil.copytree(root, copy, ignore=shutil.ignore_patterns('.git', 'runs', '*.egg-info', '__pycache__', '.ipynb_checkpoints', '.venv', 'venv'))
    shutil.rmtree(copy/'artgan')
    (copy/'artgan').mkdir()
    shutil.copy(root/'artgan'/'__init__.py', copy/'artgan')
    for command in ('nbdev_export', 'nbdev_clean'):
        subprocess.run([Path(sys.executable).parent/command], cwd=copy, check=True, env={**os.environ, 'PYTHONWARNINGS': 'ignore'})
    return copy


def test_the_package_is_what_the_notebooks_export(again):
    mine, exported = ({p.name: p.read_text() for p in (folder/'artgan').glob('*.py')} for folder in (root, again))
    assert mine.keys() == exported.keys()
    for name in mine: assert mine[name] == exported[name], f'artgan/{name} is not what nbdev_export writes: export again'


@pytest.mark.parametrize('path', notebooks, ids=ids)
def test_notebooks_are_clean(path, again):
    assert path.read_text() == (again/path.relative_to(root)).read_text(), 'run nbdev_clean'


def test_readme_badges_and_addresses_are_in_step():
    assert not [str(p.relative_to(root)) for p in sync.out_of_step()], 'run python .ci/sync.py'


@pytest.mark.parametrize('path', notebooks, ids=ids)
def test_notebooks_are_fit_to_be_read(path):
    "Run before they were committed, without errors, small, with a title, a line that says what for, and a badge"
    cells = json.loads(path.read_text())['cells']
    text = '\n'.join(''.join(c['source']) for c in cells if c['cell_type'] == 'markdown')
    assert text.startswith('# ') and '\n> ' in text[:200] and sync.badge(path) in text
    assert path.stat().st_size < 1_500_000
    code = [c for c in cells if c['cell_type'] == 'code']
    outputs = [o for c in code for o in c['outputs']]
    assert outputs and not [o for o in outputs if o['output_type'] == 'error']
    for c in code: assert not ('#| export' in ''.join(c['source'])[:12] and c['outputs']), 'an exported cell shows nothing'
    if 'tutorials' in path.parts: assert any('google.colab' in ''.join(c['source']) and 'pip install' in ''.join(c['source']) for c in code[:1]), 'installs itself in Colab'


def test_imports_go_one_way():
    "A module imports only from lower ones"
    order = ['data', 'models', 'augment', 'losses', 'metrics', 'live', 'train', 'results', 'bench', 'explore', 'figures', 'cli']
    for path in (root/'artgan').glob('[!_]*.py'):
        used = {node.module.split('.')[1] for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom) and (node.module or '').startswith('artgan.')}
        assert all(order.index(u) < order.index(path.stem) for u in used), path.name


@pytest.mark.parametrize('path', sorted((root/'artgan').glob('*.py')), ids=lambda p: p.name)
def test_the_oldest_supported_python_can_read_it(path):
    oldest = tuple(map(int, sync.settings()['min_python'].split('.')))
    ast.parse(path.read_text(), feature_version=oldest)


@pytest.mark.parametrize('path', sorted((root/'artgan').glob('[!_]*.py')), ids=lambda p: p.name)
def test_every_public_function_says_what_its_parameters_are(path):
    "A docstring, and a comment behind each parameter"
    source = path.read_text()
    lines = source.splitlines()
    for node in ast.parse(source).body:
        if not isinstance(node, (ast.FunctionDef, ast.ClassDef)) or node.name.startswith('_'): continue
        assert ast.get_docstring(node) or len(node.body) <= 3, f'{node.name} has no docstring'
        if isinstance(node, ast.FunctionDef):
            for arg in node.args.args + node.args.kwonlyargs: assert '#' in lines[arg.lineno - 1], f'{node.name}: {arg.arg} has no comment'


def test_version_and_dependencies():
    cfg = sync.settings()
    assert artgan.__version__ == cfg['version'] and f"## {cfg['version']}" in (root/'CHANGELOG.md').read_text()
    from importlib.metadata import requires
    names = {r.split(';')[0].strip() for r in requires('artgan')}
    assert any(n.startswith('safetensors') for n in names) and any(n.startswith('nbdev') for n in names)


def test_the_readme_has_its_two_commands():
    assert sync.command('pip install -e . &&') == 'pip install -e . && artgan demo'
    assert sync.command("pip install -e '.[dev]'") == "pip install -e '.[dev]' && nbdev_test && pytest"


def test_importing_the_package_is_light():
    "No GPU, no OpenCV, no notebook machinery at import"
    code = "import sys, artgan.cli; print([m for m in ('cv2', 'IPython', 'opendatasets', 'kaggle', 'nbdev', 'fastcore', 'ipywidgets', 'torch_fidelity', 'efficientnet_lite_pytorch') if m in sys.modules], __import__('torch').cuda.is_initialized())"
    assert subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout == '[] False\n'
