"The project in order: notebooks, package, README and settings say the same."
import ast
import json
import os
import re
import shutil
import statistics
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
    shutil.copytree(root, copy, ignore=shutil.ignore_patterns('.git', 'runs', '*.egg-info', '__pycache__', '.ipynb_checkpoints', '.venv', 'venv', '.hypothesis', '.pytest_cache', 'build'))
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
    code = [c for c in cells if c['cell_type'] == 'code']
    outputs = [o for c in code for o in c['outputs']]
    assert outputs and not [o for o in outputs if o['output_type'] == 'error']
    for c in code: assert not ('#| export' in ''.join(c['source'])[:12] and c['outputs']), 'an exported cell shows nothing'
    if 'tutorials' in path.parts: assert any('google.colab' in ''.join(c['source']) and 'pip install' in ''.join(c['source']) for c in code[:1]), 'installs itself in Colab'


def module_of(path):
    "The module that a notebook exports to, or None"
    found = re.search(r'#\| default_exp (\w+)', '\n'.join(''.join(c['source']) for c in json.loads(path.read_text())['cells']))
    return found and found[1]


def imports(source, module):
    "(module of the package, name or None) for every import of it in a module's source, inside functions too"
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith('artgan.'): yield alias.name.split('.')[1], None
        if isinstance(node, ast.ImportFrom):
            here = 'artgan' if node.level else ''
            parts = [p for p in (here + '.' + (node.module or '')).strip('.').split('.') if p]
            if parts[:1] != ['artgan']: continue
            for alias in node.names:
                if len(parts) > 1: yield parts[1], alias.name
                elif (root/'artgan'/f'{alias.name}.py').exists(): yield alias.name, None
                else: yield None, alias.name


def wrong_imports(source, module, order):
    "What a module takes from one that is not below it, or takes although it is private"
    for used, name in imports(source, module):
        if used and (used not in order or order.index(used) >= order.index(module)): yield f'{module} imports {used}, which is not below it'
        if name and name.startswith('_') and not name.startswith('__'): yield f'{module} imports the private {used}.{name}'


def test_no_notebook_leaves_the_environment_changed():
    "nbdev_test runs many notebooks in one process: what one leaves behind, another finds. `patch` gives back what was there"
    changes = re.compile(r'^(if .*: *)?(os\.environ(\[[^\]]+\] *=|\.(update|pop|setdefault)\())')
    for line in "os.environ['HF_HOME'] = 'x'", 'os.environ.pop(x)', "if x: os.environ['A'] = 'b'": assert changes.match(line)
    assert not changes.match("with patch.dict(os.environ, A='1'):")
    left = [(str(p.relative_to(root)), line) for p in notebooks for c in json.loads(p.read_text())['cells'] if c['cell_type'] == 'code'
            for line in ''.join(c['source']).splitlines() if changes.match(line)]
    assert left == [('nbs/10g_trackers.ipynb', "os.environ['MLFLOW_DISABLE_TELEMETRY'] = 'true'")], left  # it is read where it is imported


def test_the_look_at_imports_sees_every_form():
    order = ['low', 'middle', 'high']
    for line in ('from artgan.high import x', 'from .high import x', 'import artgan.high', 'def f():\n    from .high import x', 'class A:\n    def f(self): import artgan.high as h', 'from .middle import x'):
        assert len([*wrong_imports(line, 'middle', order)]) == 1, line
    assert [*wrong_imports('from .low import _x', 'middle', order)] == ['middle imports the private low._x']
    assert not [*wrong_imports('import os\nfrom .low import x\nfrom pathlib import Path\nfrom artgan import __version__', 'middle', order)]


def test_imports_go_one_way():
    "A module imports only from those whose notebooks come before its own, and nothing private"
    order = [m for m in map(module_of, notebooks) if m]
    files = {p.stem: p.read_text() for p in (root/'artgan').glob('[!_]*.py')}
    assert sorted(order) == sorted(files), 'one notebook is one module'
    assert sum(len([*imports(source, name)]) for name, source in files.items()) > 100, 'they are seen'
    assert not [wrong for name, source in files.items() for wrong in wrong_imports(source, name, order)]


@pytest.mark.parametrize('path', [p for p in notebooks if module_of(p)], ids=lambda p: p.stem)
def test_a_notebook_has_the_name_of_its_module(path):
    assert re.fullmatch(r'\d\d[a-z]?_(\w+)', path.stem)[1] == module_of(path)


# What is larger than the house allows, to be emptied
MOST_CELLS, MOST_BYTES, MOST_LINES, MOST_WIDE = 65, 1_000_000, 450, 140
LARGE_NOTEBOOKS = {'best_artworks': 1_450_000, 'by_artist': 1_450_000, 'explore': 1_400_000}  # bytes: outputs on real paintings, which cannot be made again here


@pytest.mark.parametrize('path', notebooks, ids=ids)
def test_notebooks_are_short(path):
    assert len(json.loads(path.read_text())['cells']) <= MOST_CELLS and path.stat().st_size <= LARGE_NOTEBOOKS.get(path.stem, MOST_BYTES)


@pytest.mark.parametrize('path', [p for p in sorted((root/'artgan').glob('*.py')) if p.name != '_modidx.py'], ids=lambda p: p.name)
def test_modules_are_short_and_narrow(path):
    lines = path.read_text().splitlines()
    listed = {n for node in ast.parse(path.read_text()).body if isinstance(node, ast.Assign) and getattr(node.targets[0], 'id', '') == '__all__' for n in range(node.lineno, node.end_lineno + 1)}
    wide = [n for n, line in enumerate(lines, 1) if len(line) > MOST_WIDE and n not in listed]
    assert len(lines) <= MOST_LINES and not wide, f'lines {wide} are wider than {MOST_WIDE}'


def lines_of_code(source):
    "How many lines of an exported cell are code: no blank lines, comments, docstrings, or documented parameters on lines of their own"
    beside = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and ast.get_docstring(node): beside |= {*range(node.body[0].lineno, node.body[0].end_lineno + 1)}
        if isinstance(node, ast.FunctionDef): beside |= {*range(node.lineno + 1, node.body[0].lineno)}
    return sum(n not in beside and bool(line.strip()) and not line.strip().startswith('#') for n, line in enumerate(source.splitlines(), 1))


# Exported cells: none above 40 lines, and half of them under 12
MOST_LINES_OF_A_CELL, MEDIAN_OF_A_CELL = 40, 12


def test_lines_of_code_are_counted():
    assert lines_of_code('#| export\ndef f(\n    a, # one\n    b, # two\n):\n    """What\n    it does"""\n\n    # why\n    return a + b') == 2


@pytest.mark.parametrize('path', [p for p in notebooks if module_of(p)], ids=lambda p: p.stem)
def test_exported_cells_are_small(path):
    cells = [''.join(c['source']) for c in json.loads(path.read_text())['cells'] if c['cell_type'] == 'code']
    counts = [lines_of_code(c) for c in cells if re.match(r'#\|\s*export', c)]
    assert max(counts) <= MOST_LINES_OF_A_CELL and statistics.median(counts) < MEDIAN_OF_A_CELL


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
            for arg in [a for a in node.args.args + node.args.kwonlyargs if a.arg != 'self']: assert '#' in lines[arg.lineno - 1], f'{node.name}: {arg.arg} has no comment'


def test_version_and_dependencies():
    cfg = sync.settings()
    assert artgan.__version__ == cfg['version'] and f"## {cfg['version']}" in (root/'CHANGELOG.md').read_text()
    names = [*cfg['requirements'].split(), *cfg['dev_requirements'].split()]
    assert any(n.startswith('fastcore') for n in cfg['requirements'].split()), 'modules use it at run time'
    assert all(any(n.startswith(needed) for n in names) for needed in ('safetensors', 'fastcore', 'nbdev'))


def test_the_readme_has_its_two_commands():
    assert sync.command('pip install -e . &&') == 'pip install -e . && artgan demo'
    assert sync.command("pip install -e '.[dev]'") == "pip install -e '.[dev]' && nbdev_test && pytest"


def test_importing_the_package_is_light():
    "No GPU, no OpenCV, no notebook machinery at import"
    code = "import sys, artgan.cli; print([m for m in ('cv2', 'IPython', 'opendatasets', 'kaggle', 'nbdev', 'ipywidgets', 'torch_fidelity', 'efficientnet_lite_pytorch', 'huggingface_hub', 'tensorboard', 'mlflow') if m in sys.modules], __import__('torch').cuda.is_initialized())"
    assert subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout == '[] False\n'
