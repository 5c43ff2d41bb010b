"""How much of the package the notebooks and the tests together run.

    python .ci/covered.py

Exported cells of a notebook are skipped, and what they define is taken from the package instead, so that the lines of
artgan/*.py are counted. What runs in processes of its own (tutorials, kills) is not counted.
"""
import os, re, sys, tempfile, warnings

import coverage

measured = coverage.Coverage(source_pkgs=['artgan'], data_file=None)
measured.start()

import importlib, matplotlib, nbformat, pytest
import sync

matplotlib.use('Agg')
failed = []
with tempfile.TemporaryDirectory() as cache:
    os.environ['ARTGAN_CACHE'] = cache
    for path in [p for p in sync.notebooks() if p.parent.name == 'nbs']:
        os.chdir(path.parent)
        nb, names = nbformat.read(path, as_version=4), {'__name__': '__main__'}
        default = re.search(r'#\| default_exp (\w+)', '\n'.join(c.source for c in nb.cells))
        with warnings.catch_warnings():
            for cell in nb.cells:
                if cell.cell_type != 'code' or re.search(r'#\|\s*eval:\s*false', cell.source): continue
                exported = re.match(r'#\| export *(\w*)', cell.source)
                if exported:
                    module = importlib.import_module(f'artgan.{exported[1] or default[1]}')
                    names.update({k: v for k, v in vars(module).items() if not k.startswith('__')})
                elif not cell.source.startswith('#| default_exp'): exec(compile(cell.source, str(path), 'exec'), names)
        matplotlib.pyplot.close('all')
os.chdir(sync.root)
failed = pytest.main(['-q', '-p', 'no:cacheprovider', '--deselect', 'tests/test_tutorials.py'])
measured.stop()
total = measured.report(show_missing=True)
sys.exit(bool(failed) or total < 95)
